"""Changes that take themselves back: the scripts a machine is given.

A change is armed before it acts. In STATE/pending stand the undo, as a script of its own, and a
deadline in seconds of uptime; a watchdog that no login session owns carries the undo out when the
deadline passes. Whoever wants to keep the change or undo it has to rename that directory first,
and a rename happens once (rename(2)). The undo can be repeated: its lines are forced, those that
are already gone or there fail harmlessly, and what stands at the prefixes of the change says
whether it worked. What others do elsewhere meanwhile (a pod that starts) is theirs.
"""

from collections.abc import Collection, Sequence

from tasks.common.script import Script, joined, script
from tasks.common.values import Address
from tasks.iproute.route import UNSAVED
from tasks.persistence.install import persist_script
from tasks.undo.records import RUNS, STATE, Displaced
from tasks.undo.recovery import PATIENCE, functions, keep
from tasks.undo.run import Run

from .readback import asked_around, asked_of_prefixes
from .steps import Steps, family_of

NAP = 10  # seconds that the watchdog sleeps at most before it looks again


def carry_out(
    steps: Steps,
    snapshot: str,
    run: Run,
    changes: Sequence[str] | None,
    what: str,
    lifelines: Collection[Address] = (),
    forgets: Sequence[Displaced] = (),
    earlier: Collection[str] = (),
    full: bool = False,
) -> Script:
    """The script that arms the undo and carries out the steps, if the table is that of `snapshot`.

    When the undo is armed it says READY, and waits for a line; then READY again, until it ends.
    `go`: carry the steps out. Until then it has the lock, and if the connection ends nothing was
    done. `push`: set the deadline anew. `keep`: confirm, and end; then records of displaced routes
    that it `forgets` go. Anything else, and the end of the connection: end, and leave it armed.

    `changes` is what `rollback --last` will read: None where it is to mean the run before, whose
    routes this one puts back. `what` is a summary for the history. The ways to the `lifelines` have
    to be the same afterwards. The machine notes the run after those armed there before, and beside
    it `earlier` ones of other machines; `full` says that its note has to be cut first.
    """
    around = script(
        "rollout/readback.sh",
        "undo/push.sh",
        "rollout/carry_out.sh",
        **asked_around(steps, run.pod_networks, lifelines),
        run=run.id,
        timeout=run.timeout,
        patience=PATIENCE,
        who=run.who,
        since=run.since,
        what=what,
        machines=" ".join(run.machines),
        planned_on=snapshot,
        changes=changes or (),
        repair="yes" if changes is None else "",
        earlier=" ".join(earlier),
        keep_runs=RUNS // 2 if full else "",
        missing=_still_missing(steps),
        keeps=[f"{k.prefix.version} {k.prefix} {k.protocol} {k.file}" for k in steps.keeps],
        lines=steps.do,
        restores=[f"{family_of(d)} {d.file}" for d in steps.restores],
        gone_4=_any_of(UNSAVED[4]),
        gone_6=_any_of(UNSAVED[6]),
        undo=_undo(steps, run),
        persist=persist_script(steps.files),
        watch=script("undo/deadline.sh", "undo/watch.sh", state=STATE, nap=NAP),
    )
    return joined(functions(run), around, keep(run, forgets))


def _undo(steps: Steps, run: Run) -> Script:
    """The undo as a script of its own: run in STATE by whoever has renamed it to `undoing`."""
    asked = asked_of_prefixes(steps, run.pod_networks)
    kept = [f"{k.prefix.version} {k.file}" for k in steps.keeps]
    return joined(
        functions(run),
        script("rollout/readback.sh", "rollout/undo.sh", **asked, lines=steps.undo, kept=kept),
    )


def _still_missing(steps: Steps) -> list[str]:
    """What goes on being recorded as ours although it is missing, as keep.sh remembers it."""
    return [line for r in steps.noted for line in (f"== kept {r.prefix.version}", r.words)]


def _any_of(words: Collection[str]) -> str:
    """A pattern for grep -E that finds one of the words."""
    return f" ({'|'.join(words)}) "
