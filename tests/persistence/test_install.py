"""The script that puts files in place: whole or not at all, and it says why not."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.persistence.backends import File, Files
from tasks.persistence.install import persist_script


def run(script: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script as a machine does, its log below a directory of ours."""
    script = script.replace("log=/var/lib/pod-routes", f"log={place}/log")
    return subprocess.run(
        ["sh"], input=script, text=True, capture_output=True, cwd=place, check=False
    )


def tree(place: Path) -> list[str]:
    return sorted(str(p.relative_to(place)) for p in place.rglob("*"))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(f"{tmp_path}/a b.network.d/50-pod-routes.conf", "it's\n$HOME `x` %s\n")


def test_written_rewritten_and_taken_away(tmp_path: Path, file: File) -> None:
    path = Path(file.path)
    link = File(f"{tmp_path}/wants/unit", file.text, target=file.path)
    for text in (file.text, "other\n"):
        files = Files((replace(file, text=text), link), stay=True)
        assert run(persist_script(files), tmp_path).returncode == 0
        assert path.read_text() == Path(link.path).read_text() == text
        assert path.stat().st_mode & 0o777 == 0o644
        assert path.parent.stat().st_mode & 0o777 == 0o755
    assert len(tree(tmp_path)) == 4
    Path(f"{tmp_path}/a b.network.d/.pod-routes.new").touch()  # as a power cut leaves it
    gone = Files(remove=(file.path, link.path))
    for _ in range(2):
        assert run(persist_script(gone), tmp_path).returncode == 0
        assert tree(tmp_path) == ["wants"]


def test_what_is_displaced_is_kept_on_disk_for_as_long_as_routes_stay(tmp_path: Path) -> None:
    record = tmp_path / "displaced" / "run_4_10.200.1.0-24_static.save"
    record.parent.mkdir()
    record.write_bytes(bytes(range(256)))
    assert run(persist_script(Files(stay=True)), tmp_path).returncode == 0
    kept = tmp_path / "log" / "displaced" / record.name
    assert kept.read_bytes() == record.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run(persist_script(Files()), tmp_path).returncode == 0
    assert not kept.exists()


def test_it_says_why_where_a_file_cannot_be_put(tmp_path: Path, file: File) -> None:
    Path(file.path).mkdir(parents=True)
    before = tree(tmp_path)
    done = run(persist_script(Files((file,), stay=True)), tmp_path)
    assert done.returncode != 0
    assert done.stdout.endswith("is a directory\n")
    assert done.stderr == ""
    assert tree(tmp_path) == before
    (tmp_path / "plain").touch()
    done = run(persist_script(Files((replace(file, path=f"{tmp_path}/plain/x/y"),))), tmp_path)
    assert done.returncode != 0
    assert "plain" in done.stderr
