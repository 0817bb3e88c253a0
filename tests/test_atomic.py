"""Files put in place at once, and what cannot be: found out before, in one line."""

from pathlib import Path

import pytest

from tasks.atomic import check_writable, replacing
from tasks.exits import Stop


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
    with replacing(Path("link"), "new →") as temporary:
        assert temporary.read_bytes() == "new →".encode()
        assert Path("page").read_text() == "old"
    assert Path("link").readlink() == Path("page")
    assert Path("page").read_bytes() == "new →".encode()
    assert Path("page").stat().st_mode & 0o7777 == 0o640
    assert sorted(p.name for p in Path().iterdir()) == ["link", "page"]
