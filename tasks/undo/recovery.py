"""Scripts for a change that waits on a machine: confirm it, move its deadline, or revert it.

STATE/pending holds the undo, as a script of its own, and the deadline in seconds of uptime.
Whoever confirms or reverts the change renames that directory first. A rename succeeds once
(rename(2)), so only one of them can win.
"""

from collections.abc import Sequence

from tasks.common.script import Script, joined, script

from .records import LOG, STATE, Displaced
from .run import Run

READY = "== ready"
PATIENCE = 30  # seconds to wait for the lock on the machine


def revert_run(run: Run, why: str) -> Script:
    """The script that reverts this run on a machine, however far the run came there."""
    return _revert(run, why, pending_only="")


def revert_pending(run: Run, why: str) -> Script:
    """The script that reverts the change of this run, only while it waits for confirmation."""
    return _revert(run, why, pending_only="yes")


def push(run: Run) -> Script:
    """The script that moves the deadline before a confirmation: is the undo still armed?"""
    pushed = script("undo/push.sh", run=run.id, timeout=run.timeout)
    return joined(functions(run), pushed, script("undo/alone.sh", does="commit", patience=PATIENCE))


def confirm(run: Run, discards: Sequence[Displaced] = ()) -> Script:
    """The script that confirms the change of this run, and removes records no longer needed."""
    alone = script("undo/alone.sh", does="keep", patience=PATIENCE)
    return joined(functions(run), keep(run, discards), alone)


def settle(run: Run) -> Script:
    """The shell function `settle`, for facts/gather.py: it reverts a change that is overdue."""
    return joined(functions(run), script("undo/settle.sh"))


def functions(run: Run) -> Script:
    """The shell functions that every script around a change begins with."""
    holder = f"{run.who} since {run.since}"
    return script("undo/deadline.sh", "undo/recovery.sh", state=STATE, log=LOG, holder=holder)


def keep(run: Run, discards: Sequence[Displaced]) -> Script:
    """The shell function `keep`, which confirms the change of this run."""
    return script("undo/keep.sh", run=run.id, discards=[d.file for d in discards])


def _revert(run: Run, why: str, pending_only: str) -> Script:
    values = {"run": run.id, "why": why, "pending_only": pending_only}
    return joined(functions(run), script("undo/revert.sh", **values, patience=PATIENCE))
