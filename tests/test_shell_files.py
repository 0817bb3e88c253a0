"""The shell files: every one is a script that any POSIX shell reads, and says what it is for."""

import re
import subprocess

import pytest

from .paths import PROJECT

FILES = sorted((PROJECT / "tasks").rglob("*.sh"))


@pytest.mark.parametrize("command", ["sh -n", "dash -n", "busybox sh -n", "shellcheck -s sh"])
def test_every_shell_finds_every_file_to_be_a_script(command: str) -> None:
    assert FILES
    for file in FILES:
        done = subprocess.run(
            [*command.split(), str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_comment_stands_above_every_function() -> None:
    for file in FILES:
        lines = file.read_text().splitlines()
        for before, line in zip(["", *lines], lines, strict=False):
            if re.match(r"\w+\(\)", line):
                assert before.startswith("# "), f"{file.name}: {line}"
