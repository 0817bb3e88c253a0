"""The operator is killed at many moments of a run; every machine ends whole all the same."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.paths import PROJECT

from .conftest import Lab, MakeLab, tutorial
from .kit import ok, settled

ROUNDS = 8


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


# A signal comes just before what is named is called; then the command line runs.
LATE = """import os, signal, sys
from fabric.main import program
sys.path.insert(0, PROJECT)
from tasks.reports import rollout
from tasks.rollout.in_progress import RunInProgress
called = WHERE.NAME
def call(*given):
    os.kill(os.getpid(), signal.SIGINT)
    return called(*given)
WHERE.NAME = call
program.run(["fab", "--search-root", PROJECT, "apply-routes", "rollback"])
"""


def signalled(lab: Lab, where: str, name: str) -> "subprocess.CompletedProcess[str]":
    """`fab apply-routes rollback`, with a Ctrl-C before a function is called."""
    text = LATE.replace("PROJECT", repr(str(PROJECT)))
    text = text.replace("WHERE", where).replace("NAME", name)
    return subprocess.run(
        [*lab.inside, sys.executable, "-c", text],
        cwd=lab.dir,
        env={"HOME": str(lab.home), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ctrl_c_after_the_confirmation_does_not_hide_that_it_came(make_lab: MakeLab) -> None:
    """It was once told as `nothing was changed`; the soak found it."""
    lab = make_lab(tutorial())
    before = lab.tables()
    out = ok(signalled(lab, "rollout", "rollout_report"))
    assert "done: 6 added on 3 machines" in out
    assert out.splitlines()[-1] == "done: 6 deleted on 3 machines"
    assert lab.tables() == before


def test_ctrl_c_at_the_confirmation_ends_the_command_line_after_it(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial())
    before = lab.tables()
    done = signalled(lab, "RunInProgress", "keep")
    assert ok(done, status=130).splitlines()[-1] == "done: 6 added on 3 machines"
    assert done.stderr.splitlines()[-1] == "interrupted: rollback was not begun"
    assert lab.tables() != before
