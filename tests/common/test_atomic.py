"""Files put in place at once, and what cannot be: found out before, in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.common.atomic import check_writable, replacing
from tasks.common.errors import Stop
from tests.paths import PROJECT


@pytest.fixture(autouse=True)
def in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".", "not a file; name a file"),
        ("device", "not a file; name a file"),
        ("none/page.html", "No such file or directory"),
        ("file/page.html", "Not a directory"),
        ("p" * 250, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_written_is_found_out_before(path: str, why: str) -> None:
    Path("device").symlink_to("/dev/full")
    Path("loop").symlink_to("loop")
    Path("file").touch()
    before = sorted(Path().iterdir())
    with pytest.raises(Stop) as raised:
        check_writable(Path(path))
    assert raised.value.message == f"{path}: cannot be written: {why}"
    assert sorted(Path().iterdir()) == before


def test_what_can_be_written_is_left_alone_until_then() -> None:
    check_writable(Path("new"))
    assert not Path("new").exists()
    Path("old").write_text("old")
    check_writable(Path("old"))
    assert Path("old").read_text() == "old"


def test_a_link_stays_a_link_and_a_failure_leaves_the_old_file() -> None:
    Path("page").write_text("old")
    Path("page").chmod(0o640)
    Path("link").symlink_to("page")
    with pytest.raises(ZeroDivisionError), replacing(Path("link"), "new"):
        raise ZeroDivisionError
    assert Path("page").read_text() == "old"
    with replacing(Path("link"), "new →"):
        assert Path("page").read_text() == "old"
    assert Path("link").readlink() == Path("page")
    assert Path("page").read_bytes() == "new →".encode()
    assert Path("page").stat().st_mode & 0o7777 == 0o640
    assert sorted(p.name for p in Path().iterdir()) == ["link", "page"]


WRITER = """
import sys
from pathlib import Path
from tasks.common.atomic import replacing
with replacing(Path("hosts.toml"), sys.argv[1]):
    print(flush=True)
    sys.stdin.read()
"""


def writer(text: str) -> "subprocess.Popen[str]":
    """A run that has the new text beside its place, and waits until its stdin is closed."""
    project = str(PROJECT)
    run = subprocess.Popen(
        [sys.executable, "-c", WRITER, text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": project},
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "\n"
    return run


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_ones_stays() -> None:
    Path("hosts.toml").write_text("old")
    with writer("killed") as killed:
        killed.kill()
    (debris,) = Path().glob(".hosts.toml.*")
    with writer("living") as living:
        beside = set(Path().glob(".hosts.toml.*"))
        assert debris not in beside  # the next write has begun
        with replacing(Path("hosts.toml"), "new"):
            assert len(set(Path().glob(".hosts.toml.*")) - beside) == 1
        assert set(Path().glob(".hosts.toml.*")) == beside
        assert Path("hosts.toml").read_text() == "new"
        living.communicate("")
    assert living.returncode == 0
    assert Path("hosts.toml").read_text() == "living"
    assert [path.name for path in Path().iterdir()] == ["hosts.toml"]


def test_what_else_has_such_a_name_is_neither_followed_nor_waited_for() -> None:
    Path("mine").write_text("mine")
    Path(".page.aaaaaaaa.unfinished").symlink_to("mine")
    os.mkfifo(".page.bbbbbbbb.unfinished")
    Path(".page.cccccccc.unfinished").mkdir()
    Path(".page.swp").touch()
    Path(".other.dddddddd.unfinished").touch()
    before = {path.name for path in Path().iterdir()}
    with replacing(Path("page"), "new"):
        pass
    assert {path.name for path in Path().iterdir()} == {*before, "page"}
    assert Path("mine").read_text() == "mine"
