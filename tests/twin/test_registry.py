"""Where the twins that are kept up are noted, and who may write there. Root's alone to run."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from tasks.common.errors import Stop
from tasks.twin import registry

INVENTORY = Path("hosts.toml")

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "DIRECTORY", tmp_path / "lab")
    return tmp_path / "lab"


def test_what_is_noted_is_found_by_any_way_to_the_file(directory: Path) -> None:
    assert registry.find(INVENTORY) is None
    registry.record(INVENTORY, registry.hold(os.getpid()))
    Path("link.toml").symlink_to("hosts.toml")
    found = registry.find(directory.parent / "lab/../link.toml")
    assert found is not None
    assert found.pid == os.getpid()
    assert (found.proc / "cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes()
    assert registry.find(Path("other.toml")) is None
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "1", "{pid} {started}", "{pid} 0\n", "{pid} {started} 1\n"])
def test_what_does_not_fit_is_not_found(directory: Path, text: str) -> None:
    own = registry.hold(os.getpid())
    registry.record(INVENTORY, own)
    (file,) = directory.iterdir()
    file.write_text(text.format(pid=own.pid, started=own.started))
    assert registry.find(INVENTORY) is None


def test_one_that_has_ended_is_not_found_and_its_note_goes(directory: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        process = registry.hold(child.pid)
        registry.record(INVENTORY, process)
        assert registry.find(INVENTORY) == replace(process, descriptor=ANY)
        process.end()
        assert registry.find(INVENTORY) is None  # though nobody has waited for it
    assert registry.find(INVENTORY) is None
    process.end()
    with registry.locked(INVENTORY):
        assert directory.exists()
    assert not directory.exists()


def test_a_note_of_another_twin_keeps_the_directory(directory: Path) -> None:
    registry.record(Path("other.toml"), registry.hold(os.getpid()))
    assert not registry.end(INVENTORY)
    assert len(list(directory.iterdir())) == 1
    assert registry.find(Path("other.toml")) is not None


@pytest.mark.parametrize("mode", [0o750, 0o707, 0o777])
def test_a_directory_that_others_may_look_into_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    refused(r"users other than root have access to it; remove it")


def test_a_directory_of_another_is_refused(directory: Path) -> None:
    directory.mkdir(0o700)
    os.chown(directory, 1234, -1)
    refused(r"users other than root have access to it; remove it")


@pytest.mark.parametrize("kind", ["a link", "a file"])
def test_what_is_no_directory_is_refused(directory: Path, kind: str) -> None:
    if kind == "a link":
        (directory.parent / "real").mkdir(0o700)
        directory.symlink_to("real")
    else:
        directory.touch()
    refused("not a directory; remove it")


def refused(why: str) -> None:
    with pytest.raises(Stop, match=why):
        registry.find(INVENTORY)
    with pytest.raises(Stop, match=why):
        registry.record(INVENTORY, registry.hold(os.getpid()))
    with pytest.raises(Stop, match=why), registry.locked(INVENTORY):
        pass
