"""A worker about to leave: the plan that takes away the routes to it and on it. Pure."""

from collections.abc import Mapping

from .changes import Change, MachinePlan, Plan, after_changes
from .cluster import Cluster, Machine, within
from .facts import Facts
from .guards import waiting
from .persistence import files_to
from .route import Route


def plan_drain(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    name: str,
    force: bool,
    skipped: Mapping[str, str] | None = None,
) -> Plan:
    """Plan to delete our routes to a worker's pod CIDRs on the others, and all of ours on it.

    Where one of the others can still ping it that is refused, unless with `force`.
    """
    leaving = cluster.machine(name)
    plans = []
    for machine in cluster.machines:
        if machine.name not in facts:
            continue
        found = facts[machine.name]
        gone = [
            r
            for r in found.owned
            if within(r.prefix, cluster.pod_networks)
            and (machine.name == name or r.prefix in leaving.pod_cidrs)
        ]
        changes = tuple(Change(None, (r,)) for r in gone)
        refusals = waiting(found)
        if machine.name != name and not force:
            refusals += _alive(leaving, gone, found)
        there = after_changes(found.owned, changes, cluster) if found.files else []
        plans.append(
            MachinePlan(
                machine.name,
                changes,
                refusals=tuple(refusals),
                files=files_to(there, found.managers, found.files),
            )
        )
    return Plan(tuple(plans), skipped or {})


def _alive(leaving: Machine, gone: list[Route], facts: Facts) -> list[str]:
    answering = sorted({str(r.next_hop) for r in gone if r.next_hop in facts.answering})
    if not answering:
        return []
    return [
        f"{leaving.name} still answers at {', '.join(answering)}: move its pods away first"
        " (kubectl drain), then say --force"
    ]
