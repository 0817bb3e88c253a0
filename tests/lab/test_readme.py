"""Every command in README.md runs as it stands there."""

import re
import subprocess

from tests.paths import PROJECT

from .conftest import Lab

BLOCKS = re.findall(r"(?:^    .*\n)+", (PROJECT / "README.md").read_text(), re.MULTILINE)
LINES = [line[4:].partition(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
FAB = [line for line in LINES if re.match(r"(sudo \.venv/bin/)?fab ", line)]
MAKE = [line for line in LINES if line.startswith("make ")]


def run(lab: Lab, words: list[str]) -> None:
    """Run the program itself, which has to succeed."""
    with lab.popen(*words) as fab:
        out, errors = fab.communicate(timeout=60)
    assert fab.returncode == 0, out + errors


def test_the_five_commands_in_the_order_of_the_readme(lab: Lab) -> None:
    commands = [line.split()[1:] for line in FAB if line.startswith("fab ")]
    names = [command[0] for command in commands]
    assert names == ["plan", "apply-routes", "verify", "status", "rollback"]
    for command in commands:
        run(lab, command)


def test_what_runs_on_copies(lab: Lab) -> None:
    lines = [line.split()[2:] for line in FAB if line.startswith("sudo ")]
    starts = ["rehearse apply-routes", "rehearse --live", "plan --foresee"]
    assert [" ".join(words[:2]) for words in lines] == starts
    for words in lines:
        run(lab, words)


def test_the_targets() -> None:
    assert MAKE == ["make demo", "make setup"]
    for line in MAKE:
        subprocess.run([*line.split(), "-n"], cwd=PROJECT, capture_output=True, check=True)
