"""What the tasks of one command line share, and the next command line does not."""

import pytest
from fabric.main import program

from tests.paths import PROJECT


def run(*arguments: str) -> None:
    program.run(["fab", "--search-root", str(PROJECT), *arguments], exit=False)


def test_a_command_line_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """A process may run several: no result of one is set apart from that of the next."""
    run("version", "version")
    both = capsys.readouterr().out
    run("version")
    one = capsys.readouterr().out
    assert both == f"{one}\n{one}"
