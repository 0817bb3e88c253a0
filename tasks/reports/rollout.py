"""The report of a rollout: how each machine ended, and one line for the whole run."""

from collections.abc import Iterable

from tasks.common.text import MAX_ROWS, counted, listed, table, wrapped
from tasks.connectivity.stream import Loss
from tasks.planning.model import Plan, TablePlan, Verb
from tasks.rollout.result import MachineState, Rollout

from .bgp import bird_words
from .plan import file_counts, restored

DONE = ("added", "replaced", "deleted")


def rollout_report(
    plan: Plan,
    rollout: Rollout,
    silent: Iterable[tuple[str, str]] = (),
    loss: Loss | None = None,
) -> str:
    """How each machine ended and why, and one line for the whole run.

    `silent`: pairs of workers that have routes now, but whose pods do not answer. `loss`: what was
    lost of the pings between pods during the run, if that was measured.
    """
    plans = {part.name: part for part in plan.parts}
    many = len(rollout.results) > MAX_ROWS
    rows = [
        [r.name, *(plans[r.name].count(verb) for verb in Verb), r.state.value]
        for r in rollout.results
        if not (many and r.state == MachineState.DONE)
    ]
    whys = "\n".join(f"{r.name}: {r.why}" for r in rollout.results if r.why)
    quiet = [f"{one} to {other}" for one, other in sorted(silent)]
    why = f"; `fab verify` says why {counted(len(quiet), 'pair')} of workers fail" if quiet else ""
    parts = [
        table(["machine", *Verb, "now"], rows) if rows else "",
        whys,
        *(wrapped([f"pods are silent all the same: {listed(quiet)}"]) if quiet else ()),
        f"{_lost(loss)}{_last_line(plan, rollout)}{why}",
    ]
    return "\n\n".join(part for part in parts if part)


def _lost(loss: Loss | None) -> str:
    """A line that says what was lost; empty if nothing was measured."""
    if loss is None or not loss.sent:
        return ""
    lost = f"{loss.lost:,} of {loss.sent:,} lost, longest gap {loss.gap} ms"
    return f"pings between pods during the change: {lost}\n"


def _last_line(plan: Plan, rollout: Rollout) -> str:
    """The line for the whole run: what was done, or how the machines are now."""
    if committed := _committed(rollout):
        return committed
    if unclear := _unclear(rollout):
        return f"{unclear}; the others are as before"
    if rollout.named(MachineState.HELD):
        return f"held until {rollout.until}: `fab confirm` keeps it, `fab rollback --last` drops it"
    if not rollout.whole:
        return "all as before" if rollout.touched else "nothing was changed"
    skipped = f"; skipped {', '.join(plan.skipped)}" if plan.skipped else ""
    if plan.empty:
        no_run = ": no machine remembers a run"  # `rollback --last` found none
        in_sync = sum(len(m.in_sync) for m in plan.machines)
        routes = f": {counted(in_sync, 'route')} in sync" if in_sync else ""
        where = f" on {counted(len(plan.machines), 'machine')}" if plan.machines else no_run
        return f"nothing to do{where}{routes}{skipped}"
    files = [f"{counted(number, 'file')} {done}" for number, _, done in file_counts(plan)]
    restores = [f"{restored(plan)} restored"] if restored(plan) else []
    names = [m.name for m in plan.machines]
    machines = sum(r.name in names for r in rollout.results)
    did = ", ".join([*_past(plan), *restores, *files, *bird_words(plan)]) or "records removed"
    places = [f"{did} on {counted(machines, 'machine')}"] if machines else []
    if plan.network and not plan.network.empty:
        changed = ", ".join([*_past(plan.network), *_checks(plan.network)]) or "records changed"
        places.insert(0, f"{changed} in network {plan.network.name}")
    return f"done: {'; '.join(places)}{skipped}"


def _checks(table: TablePlan) -> list[str]:
    """What was done to source checks, in words; no zeros."""
    counts = [(len(table.unchecked), "off"), (len(table.checked), "on")]
    return [f"{counted(n, 'source check')} switched {how}" for n, how in counts if n]


def _past(part: Plan | TablePlan) -> list[str]:
    """What was done to routes, in words; no zeros."""
    counts = [(part.count(verb), done) for verb, done in zip(Verb, DONE, strict=True)]
    return [f"{number} {done}" for number, done in counts if number]


def _unclear(rollout: Rollout) -> str:
    """The machines of a reverted run that are not, or may not be, as before; empty if none."""
    stuck = ", ".join(rollout.named(MachineState.NOT_AS_BEFORE))
    unknown = ", ".join(rollout.named(MachineState.UNKNOWN))
    parts = [
        f"NOT as before: {stuck}" if stuck else "",
        f"unknown: {unknown}, as before by {rollout.until}" if unknown else "",
    ]
    return "; ".join(filter(None, parts))


def _committed(rollout: Rollout) -> str:
    """The last line of a committed run that not all machines kept whole; empty for other runs."""
    doubtful = ", ".join(rollout.named(MachineState.IN_DOUBT))
    back = ", ".join(rollout.named(MachineState.UNCONFIRMED))
    lacking = ", ".join(rollout.named(MachineState.FILES_NOT_CHANGED))
    left = ", ".join(rollout.named(MachineState.NOT_ALL_DELETED))
    if not (doubtful or back or lacking or left):
        return ""
    if not (doubtful or back):
        parts = [f"{lacking} could not change its files"] if lacking else []
        parts += [f"{left} has routes left to delete"] if left else []
        return f"committed, but {', and '.join(parts)}: run the same again"
    if not doubtful:
        return f"committed, but {back} is as before by {rollout.until}: run apply-routes again"
    late = f"; {back} is as before by then" if back else ""
    return (
        f"committed, but {doubtful} is in doubt: kept, or as before by {rollout.until}{late};"
        " run apply-routes again"
    )
