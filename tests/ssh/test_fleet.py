"""Room for connections: so many open files as they take, or a plain word before anything starts.

And what a progress line says of machines on a copy.
"""

import subprocess
import sys

import pytest
from fabric import Config

from tasks.common import progress
from tasks.ssh.fleet import Fleet
from tests.builders import cluster
from tests.common.test_progress import Terminal
from tests.paths import PROJECT

SCRIPT = """import resource, sys
from tasks.common.errors import Stop
from tasks.ssh.fleet import make_room
soft, hard, machines = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    make_room(machines, machines)
except Stop as stop:
    print(stop.message)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def room(soft: int, hard: int, machines: int) -> list[str]:
    """What is said, and how many open files are allowed afterwards."""
    argv = [sys.executable, "-c", SCRIPT, *map(str, (soft, hard, machines))]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("soft", "hard", "machines", "after"),
    [(1024, 1024, 500, "1024"), (256, 1024, 500, "564"), (256, 1024, 3, "256")],
)
def test_there_is_room_or_it_is_made(soft: int, hard: int, machines: int, after: str) -> None:
    assert room(soft, hard, machines) == [after]


def test_where_there_is_none_it_says_what_to_raise() -> None:
    said, after = room(256, 256, 500)
    assert "ulimit -n 564" in said
    assert after == "256"


def test_a_progress_line_says_that_machines_are_on_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.01)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Fleet(cluster(1), Config(), place="on a copy").progress("changing", 3):
        assert terminal.written.wait(10)
    assert "on a copy, changing: 0 of 3 machines" in terminal.getvalue()
