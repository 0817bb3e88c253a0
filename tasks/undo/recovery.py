"""The change that waits on a machine, from another connection: kept, pushed or taken back.

In STATE/pending stand the undo, as a script of its own, and a deadline in seconds of uptime.
Whoever wants to keep the change or undo it has to rename that directory first, and a rename
happens once (rename(2)).
"""

from collections.abc import Sequence

from tasks.common.script import Script, joined, script

from .records import LOG, STATE, Displaced
from .run import Run

READY = "== ready"
PATIENCE = 30  # seconds to wait for another command that is at work on the machine


def go_back(run: Run, why: str) -> Script:
    """The script that leads back to before this run, however far it came on the machine."""
    return _revert(run, why, dropping="")


def take_back(run: Run, why: str) -> Script:
    """The script that drops the change of this run that waits for confirmation."""
    return _revert(run, why, dropping="yes")


def push(run: Run) -> Script:
    """The script that sets the deadline anew, and says whether the undo is still armed."""
    pushed = script("undo/push.sh", run=run.id, timeout=run.timeout)
    return joined(functions(run), pushed, script("undo/alone.sh", does="push", patience=PATIENCE))


def confirm(run: Run, forgets: Sequence[Displaced] = ()) -> Script:
    """The script that keeps the change of this run; records of displaced routes may go with it."""
    alone = script("undo/alone.sh", does="keep", patience=PATIENCE)
    return joined(functions(run), keep(run, forgets), alone)


def settle(run: Run) -> Script:
    """A shell function for `question`: whoever touches a machine undoes what is overdue."""
    return joined(functions(run), script("undo/settle.sh"))


def functions(run: Run) -> Script:
    """The shell functions that every script around a change begins with."""
    holder = f"{run.who} since {run.since}"
    return script("undo/deadline.sh", "undo/recovery.sh", state=STATE, log=LOG, holder=holder)


def keep(run: Run, forgets: Sequence[Displaced]) -> Script:
    """The shell function that keeps the change of this run."""
    return script("undo/keep.sh", run=run.id, forgets=[d.file for d in forgets])


def _revert(run: Run, why: str, dropping: str) -> Script:
    values = {"run": run.id, "why": why, "dropping": dropping}
    return joined(functions(run), script("undo/revert.sh", **values, patience=PATIENCE))
