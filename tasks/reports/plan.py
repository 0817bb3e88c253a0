"""A plan as it is printed: tables for people, JSON for programs, the lines of a dry run."""

import json
from collections.abc import Iterable, Sequence

from tasks.common.text import FEW, MANY, counted, few, first, listed, table, wrapped
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.planning.conflicts import Obstacle
from tasks.planning.model import Change, MachinePlan, Plan
from tasks.rollout.steps import steps

VERBS = ("add", "replace", "delete")
ALL_OF_THEM = ": `fab plan --format json` lists them"


def plan_report(plan: Plan, notes: Sequence[str] = ()) -> str:
    """A plan as tables: counts per machine, the changes, what stands in the way, one total.

    `notes` are what to know of the machines' networks, a line each.
    """
    known = "\n".join(wrapped(notes))
    parts = [_counts(plan), _changes(plan), *_notes(plan), known, totals(plan)]
    return "\n\n".join(part for part in parts if part)


def _counts(plan: Plan) -> str:
    shown = [m for m in plan.machines if len(plan.machines) <= MANY or not _quiet(m)]
    if not shown:
        return ""
    headers = ["machine", "add", "replace", "delete", "right", "in the way"]
    rows = [
        [m.name, m.count("add"), m.count("replace"), m.count("delete"), len(m.right), _stuck(m)]
        for m in shown
    ]
    rest = len(plan.machines) - len(shown)
    more = f"\n({counted(rest, 'other machine')} with nothing to do)" if rest else ""
    return table(headers, rows) + more


def _quiet(machine: MachinePlan) -> bool:
    return machine.empty and not (
        machine.obstacles or machine.left or machine.refusals or machine.drift
    )


def _stuck(machine: MachinePlan) -> int:
    return len(machine.obstacles) + len(machine.refusals)


def _changes(plan: Plan) -> str:
    every = [(m, change) for m in plan.machines for change in m.changes]
    listed = [(m, c) for m, c in every if len(every) <= MANY or not (m.way_back or c.verb == "add")]
    rows = [row for machine, change in listed for row in _change_rows(machine.name, change)]
    rows += [
        [m.name, "restore", route] for m in plan.machines for d in m.restores for route in d.routes
    ]
    files = [row for m in plan.machines for row in _file_rows(m)]
    rows += files if len(files) <= MANY else []
    if not rows:
        return ""
    more = f"\n({counted(len(every) - len(listed), 'change')} not listed; --dry-run lists all)"
    return table(["machine", "change", "route"], rows) + (more if len(listed) < len(every) else "")


def _change_rows(name: str, change: Change) -> list[list[object]]:
    if change.put is None:
        return [[name, "delete", route] for route in change.take]
    rows: list[list[object]] = [[name, change.verb, change.put]]
    return rows + [["", "instead of", r] for r in first([*map(str, change.take)], MANY)]


def _file_rows(machine: MachinePlan) -> list[list[object]]:
    rows: list[list[object]] = [[machine.name, "write", f.path] for f in machine.files.write]
    return rows + [[machine.name, "remove", path] for path in machine.files.remove]


def _notes(plan: Plan) -> Iterable[str]:
    for machine in plan.machines:
        lines = [
            *first(machine.refusals, MANY, ALL_OF_THEM),
            *first([*_obstacles(machine)], MANY, ALL_OF_THEM),
            *_drift_lines(machine),
        ]
        lines += [
            f"left: {route}, to no worker in hosts.toml: forgotten there? --prune deletes it"
            for route in few([*map(str, machine.left)])
        ]
        lines += [
            f"left: {route}, outside pod_networks; rollback takes it back"
            for route in few([*map(str, machine.outside)])
        ]
        if lines:
            yield "\n".join(f"{machine.name}: {line}" for line in lines)


def _obstacles(machine: MachinePlan) -> Iterable[str]:
    """What stands in the way on a machine; where that is much, what is mended alike together."""
    by_remedy: dict[str, list[Obstacle]] = {}
    for obstacle in machine.obstacles:
        by_remedy.setdefault(obstacle.remedy, []).append(obstacle)
    for remedy, those in by_remedy.items():
        if len(those) <= FEW:
            for one in those:
                yield f"in the way of {one.prefix}: {one.what}\n    {remedy}"
        else:
            prefixes = listed(str(one.prefix) for one in those)
            what = f"{len(those)} such: {those[0].what}, …"
            yield f"in the way of {prefixes}: {what}\n    {remedy}"


def _drift_lines(machine: MachinePlan) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for drift in machine.drift:
        kinds.setdefault(drift.kind, []).append(drift.what)
    return [f"{kind}: {what}" for kind, whats in kinds.items() for what in few(whats)]


def totals(plan: Plan) -> str:
    """One line of totals."""
    restores = restored(plan)
    numbers = [
        f"{plan.count('add')} to add",
        f"{plan.count('replace')} to replace",
        f"{plan.count('delete')} to delete",
        *([f"{restores} to restore"] if restores else []),
        *(f"{counted(number, 'file')} to {verb}" for number, verb, _ in file_counts(plan)),
        f"{sum(len(m.right) for m in plan.machines)} right",
        f"{sum(map(_stuck, plan.machines))} in the way",
    ]
    skipped = f", {len(plan.skipped)} skipped" if plan.skipped else ""
    return f"{counted(len(plan.machines), 'machine')}{skipped}: {', '.join(numbers)}"


def plan_json(plan: Plan, cluster: Cluster, notes: Sequence[str] = ()) -> str:
    """A plan for programs: one JSON object; `version` changes when a field's meaning does."""
    machines = [
        {
            "name": m.name,
            "changes": [
                {
                    "change": change.verb,
                    "prefix": str(change.prefix),
                    "put": _route_json(change.put) if change.put else None,
                    "take": [_route_json(r) for r in change.take],
                }
                for change in m.changes
            ],
            "right": [_route_json(r) for r in m.right],
            "in_the_way": [
                {"prefix": str(o.prefix), "what": o.what, "remedy": o.remedy} for o in m.obstacles
            ],
            "left": [_route_json(r) for r in (*m.left, *m.outside)],
            "files": [
                *({"change": "write", "path": f.path} for f in m.files.write),
                *({"change": "remove", "path": path} for path in m.files.remove),
            ],
            "drift": [{"kind": d.kind, "prefix": str(d.prefix), "what": d.what} for d in m.drift],
            "refused": list(m.refusals),
        }
        for m in plan.machines
    ]
    totals = {verb: plan.count(verb) for verb in ("add", "replace", "delete")}
    totals["right"] = sum(len(m.right) for m in plan.machines)
    totals["in_the_way"] = sum(map(_stuck, plan.machines))
    document = {
        "version": 1,
        "inventory": str(cluster.path),
        "machines": machines,
        "skipped": dict(plan.skipped),
        "notes": list(notes),
        "totals": totals,
    }
    return json.dumps(document, indent=2)


def _route_json(route: Route) -> dict[str, object]:
    return {
        "prefix": str(route.prefix),
        "type": route.type,
        "hops": [{"via": str(h.via) if h.via else None, "dev": h.dev} for h in route.hops],
        "protocol": route.protocol,
        "metric": route.metric,
    }


def restored(plan: Plan) -> int:
    """How many displaced routes come back."""
    return sum(len(d.routes) for m in plan.machines for d in m.restores)


def file_counts(plan: Plan) -> list[tuple[int, str, str]]:
    """How many files, with what is to be done and what has been; none where it is none."""
    written = sum(len(m.files.write) for m in plan.machines)
    removed = sum(len(m.files.remove) for m in plan.machines)
    counts = [(written, "write", "written"), (removed, "remove", "removed")]
    return [count for count in counts if count[0]]


def dry_run_report(plan: Plan) -> str:
    """The lines that each machine would be given."""
    return "\n\n".join(
        "\n".join([f"# {m.name}", *(steps(m, "dry-run").lines or ["# nothing to do"])])
        for m in plan.machines
    )
