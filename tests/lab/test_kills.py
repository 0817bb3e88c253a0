"""The operator is killed at many moments of a run; every machine ends whole all the same."""

import os
import signal
import subprocess
import time

import pytest

from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on

ROUNDS = 8
# No login, no script that a login has left, nothing armed, nothing half undone.
IDLE = (
    "! pgrep -f ^sshd:.*@ && ! pgrep -f ^sh.-s &&"
    " ! [ -d /run/pod-routes/pending ] && ! [ -d /run/pod-routes/undoing ]"
)


def settled(lab: Lab) -> None:
    """Wait until nothing is armed anywhere: five seconds after the run at the latest, or so."""
    for machine in lab.cluster.machines:
        on(lab, machine.name, f"timeout 40 sh -c 'until {IDLE}; do sleep 0.1; done'")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_run_that_is_killed_leaves_every_machine_whole(
    make_lab: MakeLab, sent: signal.Signals
) -> None:
    lab = make_lab(tutorial())
    before = lab.tables()
    started = time.monotonic()
    ok(lab.fab("apply-routes", "--no-ping"))
    length = time.monotonic() - started
    wanted = lab.tables()
    ok(lab.fab("rollback"))
    assert lab.tables() == before
    for number in range(ROUNDS):
        with lab.popen("apply-routes", "--no-ping", "--confirm-timeout", "5") as run:
            try:
                run.wait(length * (number + 1) / ROUNDS)
            except subprocess.TimeoutExpired:
                os.kill(run.pid, sent)
            out, errors = run.communicate(timeout=60)
        settled(lab)
        now = lab.tables()
        for name, table in now.items():
            assert table in (before[name], wanted[name]), (number, name, table)
        if sent == signal.SIGTERM and run.returncode == 130:
            assert now == before, out + errors
        if run.returncode == 0:
            assert now == wanted, out + errors
        ok(lab.fab("rollback"))
        assert lab.tables() == before
