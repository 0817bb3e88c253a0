"""A plan for people: as tables, and as the commands of a dry run."""

from collections.abc import Iterable, Sequence

from tasks.common.text import MAX_LINES, MAX_ROWS, counted, few, first, listed, table, wrapped
from tasks.planning.conflicts import Conflict
from tasks.planning.model import Change, MachinePlan, Plan, TableChange, TablePlan, Verb
from tasks.rollout.steps import steps

from .bgp import bgp_changes

ALL_OF_THEM = ": `fab plan --format json` lists them"


def plan_report(plan: Plan, notes: Sequence[str] = ()) -> str:
    """A plan as tables: counts per machine, the changes, then conflicts, drift and a total.

    `notes`: what the operator should know about the machines' networks, one line each.
    """
    networks = "\n".join(wrapped(notes))
    parts = [
        _counts(plan),
        _changes(plan),
        bgp_changes(plan),
        *_problems(plan),
        networks,
        totals(plan),
    ]
    return "\n\n".join(part for part in parts if part)


def _counts(plan: Plan) -> str:
    shown = [m for m in plan.machines if len(plan.machines) <= MAX_ROWS or not _quiet(m)]
    if not (shown or plan.network):
        return ""
    headers = ["machine", *Verb, "in sync", "conflict"]
    parts: list[MachinePlan | TablePlan] = [*([plan.network] if plan.network else []), *shown]
    rows = [[m.name, *map(m.count, Verb), len(m.in_sync), blocking(m)] for m in parts]
    rest = len(plan.machines) - len(shown)
    more = f"\n({counted(rest, 'other machine')} with nothing to do)" if rest else ""
    return table(headers, rows) + more


def _quiet(machine: MachinePlan) -> bool:
    """Whether there is nothing to do on a machine, and nothing to report about it."""
    reported = machine.conflicts or machine.stale or machine.refusals or machine.drift
    return machine.empty and not reported


def blocking(machine: MachinePlan | TablePlan) -> int:
    """How many conflicts and refusals a machine or table has: each forbids to apply the plan."""
    return len(machine.conflicts) + len(machine.refusals)


def _changes(plan: Plan) -> str:
    every = [(m, change) for m in plan.machines for change in m.changes]
    listed = [
        (m, c)
        for m, c in every
        if len(every) <= MAX_ROWS or not (m.is_rollback or c.verb is Verb.ADD)
    ]
    rows = [
        row
        for change in (plan.network.changes if plan.network else ())
        for row in _change_rows(plan.network.name if plan.network else "", change)
    ]
    rows += [row for machine, change in listed for row in _change_rows(machine.name, change)]
    rows += [
        [m.name, "restore", route] for m in plan.machines for d in m.restores for route in d.routes
    ]
    rows += _later_rows(plan)
    files = [row for m in plan.machines for row in _file_rows(m)]
    rows += files if len(files) <= MAX_ROWS else []
    if not rows:
        return ""
    more = f"\n({counted(len(every) - len(listed), 'change')} not listed; --dry-run lists all)"
    return table(["machine", "change", "route"], rows) + (more if len(listed) < len(every) else "")


def _change_rows(name: str, change: Change | TableChange) -> list[list[object]]:
    if change.put is None:
        return [[name, change.verb, route] for route in change.take]
    rows: list[list[object]] = [[name, change.verb, change.put]]
    return rows + [["", "instead of", r] for r in first([*map(str, change.take)], MAX_ROWS)]


def _later_rows(plan: Plan) -> list[list[object]]:
    """A row for each route that is deleted once its prefix comes by BGP; none if they are many."""
    rows: list[list[object]] = [
        [m.name, "to BGP", r] for m in plan.machines for change in m.later for r in change.take
    ]
    return rows if len(rows) <= MAX_ROWS else []


def _file_rows(machine: MachinePlan) -> list[list[object]]:
    rows: list[list[object]] = [[machine.name, "write", f.path] for f in machine.files.write]
    return rows + [[machine.name, "remove", path] for path in machine.files.remove]


def _problems(plan: Plan) -> Iterable[str]:
    """For each part of the plan that has any: its refusals, conflicts, drift and stale routes."""
    if plan.network and (lines := _of_table(plan.network)):
        yield "\n".join(wrapped(f"{plan.network.name}: {line}" for line in lines))
    for machine in plan.machines:
        lines = [
            *first(machine.refusals, MAX_ROWS, ALL_OF_THEM),
            *first([*_conflicts(machine)], MAX_ROWS, ALL_OF_THEM),
            *_drift_lines(machine),
        ]
        lines += [
            f"stale: {route}: no worker in hosts.toml has this pod CIDR; --prune deletes it"
            for route in few([*map(str, machine.stale)])
        ]
        lines += [
            f"stale: {route}: outside pod_networks; `fab rollback` deletes it"
            for route in few([*map(str, machine.outside_networks)])
        ]
        if lines:
            yield "\n".join(wrapped(f"{machine.name}: {line}" for line in lines))


def _of_table(table: TablePlan) -> list[str]:
    """What there is to say of a provider's table, as lines."""
    left = counted(len(table.unfinished), "route")
    return [
        *first(table.refusals, MAX_ROWS, ALL_OF_THEM),
        *first([*_conflicts(table)], MAX_ROWS, ALL_OF_THEM),
        *(
            [f"{left} added by a run that has not ended: `fab rollback` deletes them"]
            if table.unfinished
            else []
        ),
        *(f"stale: {what}" for what in few(table.stale)),
        *(f"switch off the source check of {m.name}, {m.address}" for m in table.unchecked),
        *(f"switch on the source check of {m.name}, {m.address}" for m in table.checked),
        *table.notes,
    ]


def _conflicts(machine: MachinePlan | TablePlan) -> Iterable[str]:
    """The conflicts of a machine or table, with remedies; many with one remedy become one line."""
    by_remedy: dict[str, list[Conflict]] = {}
    for conflict in machine.conflicts:
        by_remedy.setdefault(conflict.remedy, []).append(conflict)
    for remedy, conflicts in by_remedy.items():
        if len(conflicts) <= MAX_LINES:
            for one in conflicts:
                yield f"conflict at {one.prefix}: {one.what}; {remedy}"
        else:
            prefixes = listed(str(one.prefix) for one in conflicts)
            what = f"{len(conflicts)} conflicts, the first: {conflicts[0].what}"
            yield f"conflict at {prefixes}: {what}; {remedy}"


def _drift_lines(machine: MachinePlan) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for drift in machine.drift:
        kinds.setdefault(drift.kind.text, []).append(drift.what)
    return [f"{kind}: {what}" for kind, whats in kinds.items() for what in few(whats)]


def totals(plan: Plan) -> str:
    """One line that counts what the plan has on all machines."""
    restores = restored(plan)
    numbers = [
        *(f"{sum(part.count(verb) for part in plan.parts)} to {verb}" for verb in Verb),
        *([f"{restores} to restore"] if restores else []),
        *(f"{counted(number, 'file')} to {verb}" for number, verb, _ in file_counts(plan)),
        f"{sum(len(part.in_sync) for part in plan.parts)} in sync",
        counted(sum(map(blocking, plan.parts)), "conflict"),
    ]
    skipped = f", {len(plan.skipped)} skipped" if plan.skipped else ""
    network = "1 network, " if plan.network else ""
    return f"{network}{counted(len(plan.machines), 'machine')}{skipped}: {', '.join(numbers)}"


def restored(plan: Plan) -> int:
    """The number of displaced routes that the plan puts back."""
    return sum(len(d.routes) for m in plan.machines for d in m.restores)


def file_counts(plan: Plan) -> list[tuple[int, str, str]]:
    """The numbers of files to write and to remove, each with its verb and participle; no zeros."""
    written = sum(len(m.files.write) for m in plan.machines)
    removed = sum(len(m.files.remove) for m in plan.machines)
    counts = [(written, "write", "written"), (removed, "remove", "removed")]
    return [count for count in counts if count[0]]


def dry_run_report(plan: Plan) -> str:
    """The commands that each machine would run, and before them the changes of the network."""
    commands = [
        "\n".join([f"# {m.name}", *(steps(m, "dry-run").lines or ["# nothing to do"])])
        for m in plan.machines
    ]
    if plan.network:
        changes = [" ".join(map(str, _words(change))) for change in plan.network.changes]
        said = [f"#   {line}" for line in changes] or ["#   nothing to do"]
        commands.insert(0, "\n".join([f"# {plan.network.name}, by its API", *said]))
    return "\n\n".join(commands)


def _words(change: TableChange) -> list[object]:
    """A change of a provider's table as words on one line."""
    instead = ["instead of", ", ".join(map(str, change.take))] if change.put and change.take else []
    return [change.verb, change.put or change.take[0], *instead]
