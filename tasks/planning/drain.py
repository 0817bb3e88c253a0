"""A worker about to leave: the plan that takes away the routes to it and on it. Pure."""

from collections.abc import Mapping

from tasks.common.values import within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.persistence.backends import files_to

from .conflicts import waiting
from .drift import vanished
from .model import Change, MachinePlan, Plan
from .reconcile import besides, staying


def plan_drain(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    name: str,
    force: bool,
    skipped: Mapping[str, str] | None = None,
) -> Plan:
    """Plan to delete our routes to a worker's pod CIDRs on the others, and all of ours on it.

    Where it answers us, or a ping of one of the others, that is refused, unless with `force`.
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
        if name not in facts:
            answers = sorted(str(ip) for ip in {r.next_hop for r in gone} & found.answering)
        else:  # said once, of the worker itself
            answers = [leaving.public_ip] if machine.name == name else []
        if answers and not force:
            refusals.append(
                f"{name} still answers at {', '.join(answers)}: move its pods away first"
                " (kubectl drain), then say --force"
            )
        others = set() if machine.name == name else besides(found, leaving.pod_cidrs)
        there = staying(found, changes, cluster, others) if found.files else []
        plans.append(
            MachinePlan(
                machine.name,
                changes,
                refusals=tuple(refusals),
                files=files_to(there, found.managers, found.files),
                noted=tuple(r for r in vanished(found) if r.prefix in others),
                forget=any(r.prefix not in others for r in found.kept),
            )
        )
    return Plan(tuple(plans), skipped or {})
