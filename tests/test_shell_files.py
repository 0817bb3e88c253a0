"""The shell files: every one is a script that any POSIX shell reads, and says what it is for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .paths import PROJECT

# A shellcheck that pip has installed stands beside Python.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
FILES = sorted((PROJECT / "tasks").rglob("*.sh"))


@pytest.mark.parametrize("command", ["sh -n", "dash -n", "busybox sh -n", "shellcheck -s sh"])
def test_every_shell_finds_every_file_to_be_a_script(command: str) -> None:
    assert FILES
    for file in FILES:
        done = subprocess.run(
            ["env", f"PATH={PATH}", *command.split(), str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_comment_stands_above_every_function() -> None:
    for file in FILES:
        lines = file.read_text().splitlines()
        for before, line in zip(["", *lines], lines, strict=False):
            if re.match(r"\w+\(\)", line):
                assert before.startswith("# "), f"{file.name}: {line}"


def test_echo_prints_no_value() -> None:
    """That of dash takes "\\n" for the end of a line, and what follows may head a section."""
    for file in FILES:
        for line in file.read_text().splitlines():
            value = re.search(r"\becho\b(?! \$\$| \$\(\()[^;|&]*\$", line)
            assert not value, f"{file.name}: {line}"


def test_no_pattern_asks_for_more_than_every_machine_can_count() -> None:
    """POSIX has RE_DUP_MAX be 255 at least, and musl's sed refuses a pattern with more."""
    for file in FILES:
        times = re.findall(r"\{(\d+)(?:,(\d*))?\}", file.read_text())
        assert max([int(n) for pair in times for n in pair if n], default=0) <= 255, file.name
