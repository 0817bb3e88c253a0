"""What the tests on a twin share: running on a machine, judging how a command line ended."""

import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .conftest import Lab


def on(lab: Lab, machine: str, command: str) -> str:
    """Run a command line on a machine as root; it has to succeed."""
    done = lab.twin.run(machine, ["sh", "-c", command])
    assert done.returncode == 0, done.stderr
    return done.stdout


def ok(done: "subprocess.CompletedProcess[str]", status: int = 0) -> str:
    """The output of a command line that has to end with this status, and without a traceback."""
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@contextmanager
def monitor(lab: Lab, machine: str) -> Iterator[list[str]]:
    """The route and neighbour events of a machine while the block runs, as `ip monitor` says."""
    mark = "ip route add {0} dev lo && ip route del {0} dev lo"
    events: list[str] = []
    inside = lab.twin.inside(machine)
    with subprocess.Popen(
        [*inside, "timeout", "60", "ip", "-o", "monitor", "route", "neigh"],
        stdout=subprocess.PIPE,
        text=True,
    ) as listener:
        assert listener.stdout is not None
        while not select.select([listener.stdout], [], [], 0.05)[0]:
            on(lab, machine, mark.format("192.0.2.1"))
        yield events
        on(lab, machine, mark.format("192.0.2.2"))
        for line in listener.stdout:
            if line.startswith("192.0.2.2"):
                break
            events.append(line)
        on(lab, machine, "pkill -x timeout")
