"""A plan for programs, as JSON."""

import json
from collections.abc import Mapping, Sequence

from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.planning.model import Plan, TablePlan, Verb

from .bgp import bgp_json
from .plan import blocking


def plan_json(
    plan: Plan,
    cluster: Cluster,
    notes: Sequence[str] = (),
    foresight: Mapping[str, object] | None = None,
) -> str:
    """A plan as one JSON object; `version` changes when the meaning of a field changes.

    `foresight`: what it would do to the pairs, where that was tried.
    """
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
            "right": [_route_json(r) for r in m.in_sync],
            "in_the_way": [
                {"prefix": str(c.prefix), "what": c.what, "remedy": c.remedy} for c in m.conflicts
            ],
            "left": [_route_json(r) for r in (*m.stale, *m.outside_networks)],
            "files": [
                *({"change": "write", "path": f.path} for f in m.files.write),
                *({"change": "remove", "path": path} for path in m.files.remove),
            ],
            "drift": [
                {
                    "kind": d.kind.json,
                    "prefix": str(d.prefix) if d.prefix else None,
                    "what": d.what,
                }
                for d in m.drift
            ],
            "refused": list(m.refusals),
            "bgp": bgp_json(m),
        }
        for m in plan.machines
    ]
    totals = {
        **{verb.value: plan.count(verb) for verb in Verb},
        "right": sum(len(m.in_sync) for m in plan.machines),
        "in_the_way": sum(map(blocking, plan.machines)),
    }
    document = {
        "version": 1,
        "inventory": str(cluster.path),
        **({"network": _table_json(plan.network)} if plan.network else {}),
        "machines": machines,
        "skipped": dict(plan.skipped),
        "notes": list(notes),
        "totals": totals,
        **({"foresight": foresight} if foresight else {}),
    }
    return json.dumps(document, indent=2)


def _table_json(table: TablePlan) -> dict[str, object]:
    return {
        "name": table.name,
        "changes": [
            {
                "change": change.verb,
                "put": str(change.put) if change.put else None,
                "take": [*map(str, change.take)],
            }
            for change in table.changes
        ],
        "right": [*map(str, table.in_sync)],
        "in_the_way": [
            {"prefix": str(c.prefix), "what": c.what, "remedy": c.remedy} for c in table.conflicts
        ],
        "left": list(table.stale),
        "unfinished": [*map(str, table.unfinished)],
        "source_checks_off": [str(member.address) for member in table.unchecked],
        "source_checks_on": [str(member.address) for member in table.checked],
        "notes": list(table.notes),
        "refused": list(table.refusals),
    }


def _route_json(route: Route) -> dict[str, object]:
    return {
        "prefix": str(route.prefix),
        "type": route.type,
        "hops": [{"via": str(h.via) if h.via else None, "dev": h.dev} for h in route.hops],
        "protocol": route.protocol,
        "metric": route.metric,
    }
