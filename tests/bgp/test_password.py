"""The file of the password: made for its owner alone, and read only where BIRD could take it."""

import os
from pathlib import Path

import pytest

from tasks.bgp.password import LONGEST, new_password, read_password, write_password
from tasks.common.errors import Stop


def test_a_new_one_is_for_its_owner_alone(tmp_path: Path) -> None:
    file, password = tmp_path / "secret", new_password()
    old = os.umask(0)
    try:
        write_password(file, password)
    finally:
        os.umask(old)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_password(file) == password
    assert new_password() != password


@pytest.mark.parametrize("text", ["x", "x\n", "~" * LONGEST + "\n", "a#;{}$`*%&|<>()!"])
def test_one_that_may_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(text)
    assert read_password(tmp_path / "secret") == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a b", " a", "a ", "a\r\n", "a\n\n", "a\nb\n", 'a"b', "a'b", "a\\\\b", "\u00e9",
     "x" * (LONGEST + 1), "x\0"],
)  # fmt: skip
def test_one_that_bird_could_not_take_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(text)
    with pytest.raises(Stop) as stop:
        read_password(tmp_path / "secret")
    assert "must hold one line of 1 to 80 ASCII characters" in str(stop.value.message)
    assert len(text.strip()) < 3 or text not in str(stop.value.message)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("pipe", "not a file but a device or a pipe"),
        (".", "Is a directory"),
        ("a/b", ""),  # missing
    ):
        if why:
            with pytest.raises(Stop) as stop:
                read_password(tmp_path / name)
            assert str(stop.value.message).endswith(f"cannot be read: {why}")
        else:
            assert read_password(tmp_path / name) == ""


def test_one_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    """Nor is a file elsewhere made through a link."""
    (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Stop) as stop:
        write_password(tmp_path / "secret", "x")
    assert str(stop.value.message).endswith("cannot be made: File exists")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(Stop) as stop:
        write_password(tmp_path / "none" / "secret", "x")
    assert str(stop.value.message).endswith("cannot be made: No such file or directory")
