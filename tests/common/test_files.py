"""A person's files are read within bounds, and nothing else is."""

import os
from pathlib import Path

import pytest

from tasks.common.errors import Stop
from tasks.common.files import content
from tasks.inventory.edit import current
from tasks.inventory.read import read


@pytest.fixture(autouse=True)
def in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("zero").symlink_to("/dev/zero")
    Path("huge").touch()
    os.truncate("huge", 1 << 40)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fifo", "not a file but a device or a pipe"),
        ("zero", "not a file but a device or a pipe"),
        ("huge", "more than 4,194,304 bytes"),
        (".", "Is a directory"),
    ],
)
def test_what_is_no_file_of_a_person_is_refused_at_once(name: str, why: str) -> None:
    with pytest.raises(OSError, match=why) as error:
        content(Path(name))
    assert error.value.strerror == why
    with pytest.raises(Stop, match=f"cannot be read: {why}"):
        current(Path(name))
    with pytest.raises(Stop, match=f"cannot be read: {why}; name another"):
        read(Path(name))


def test_a_file_of_the_greatest_size_is_read_whole() -> None:
    Path("file").write_bytes(b"1234")
    assert content(Path("file"), 4) == b"1234"
    with pytest.raises(OSError, match="more than 3 bytes"):
        content(Path("file"), 3)
