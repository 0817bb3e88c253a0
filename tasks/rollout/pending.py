"""Confirms or reverts the changes that wait for confirmation, on every machine that has one."""

from collections.abc import Callable, Collection, Mapping

from tasks.common.errors import Status, Stop
from tasks.common.signals import Interrupts
from tasks.common.text import counted, listed
from tasks.facts.model import Facts
from tasks.ssh.fleet import Fleet
from tasks.undo import recovery
from tasks.undo.run import Run, new_run

from .outcome import ScriptState, outcome_of

MIN_CONFIRM_TIME = 30  # seconds; enough to confirm on all machines


def keep(fleet: Fleet, facts: Mapping[str, Facts], skipped: Collection[str]) -> str:
    """Confirm the pending changes; the line to print. Raises Stop if one could not be confirmed.

    If a machine of the same run has reverted its change already, it confirms none and raises Stop.
    Machines in `skipped` do not count.
    """
    with Interrupts():
        if gone := _gone(facts, skipped) or _unarmed(fleet, facts):
            lines = [f"nothing was confirmed: the change is not armed any more on {listed(gone)}"]
            if {name for name, found in facts.items() if found.pending} - set(gone):
                lines.append(
                    "the others are as before when their time is up; `fab rollback --last` does it"
                    " now"
                )
            raise Stop("\n".join([*lines, "`fab history` says how it has ended"]))
        return _each(fleet, facts, recovery.confirm, ScriptState.KEPT, "kept")


def _gone(facts: Mapping[str, Facts], skipped: Collection[str]) -> list[str]:
    """Machines of a pending run where the change is neither pending nor confirmed."""
    wanted = {(name, p.run) for f in facts.values() if (p := f.pending) for name in p.machines}
    there = {
        (name, f.pending.run) for name, f in facts.items() if f.pending and not f.pending.failed
    }
    there |= {(name, f.last.run) for name, f in facts.items() if f.last}
    return sorted({name for name, _ in wanted - there if name not in skipped})


def _unarmed(fleet: Fleet, facts: Mapping[str, Facts]) -> list[str]:
    """Machines whose undo is no longer armed. Moves the deadlines of the others."""
    scripts = {
        name: recovery.push(
            Run(p.run, "", max(MIN_CONFIRM_TIME, p.seconds), fleet.cluster.pod_networks)
        )
        for name, f in facts.items()
        if (p := f.pending)
    }
    return [
        name for name, a in fleet.ask(scripts).items() if outcome_of(a).state != ScriptState.ARMED
    ]


def drop(fleet: Fleet, facts: Mapping[str, Facts]) -> str:
    """Revert the pending changes; the line to print. Raises Stop if one could not be reverted."""

    def script(run: Run) -> str:
        return recovery.revert_pending(run, "dropped")

    with Interrupts():
        return _each(fleet, facts, script, ScriptState.DONE, "dropped: all as before")


def _each(
    fleet: Fleet,
    facts: Mapping[str, Facts],
    script: Callable[[Run], str],
    wanted: ScriptState,
    done: str,
) -> str:
    """Run a script on every machine with a pending change. Raises Stop unless all end as wanted."""
    waiting = {name: found.pending for name, found in facts.items() if found.pending}
    ours = new_run(fleet.cluster.pod_networks, 0)
    scripts = {
        name: script(Run(pending.run, ours.who, 0, ours.pod_networks))
        for name, pending in waiting.items()
    }
    outcomes = {name: outcome_of(answer) for name, answer in fleet.ask(scripts).items()}
    failed = [f"  {name}: {o.why}" for name, o in outcomes.items() if o.state != wanted]
    if failed:
        well = counted(len(scripts) - len(failed), "machine")
        head = f"{done.partition(':')[0]} on {well}, but not on"
        raise Stop("\n".join([head, *failed]), Status.NOT_WHOLE)
    return f"{done} on {counted(len(scripts), 'machine')}"
