"""The plan to drain a worker: delete the routes to it on the others, and those on it. Pure."""

from collections.abc import Mapping

from tasks.common.values import within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.persistence.backends import files_to

from .bgp import bird_removal
from .boot import boot_routes, out_of_scope
from .conflicts import pending_refusals
from .drift import missing_routes
from .model import Change, MachinePlan, Plan


def plan_drain(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    name: str,
    force: bool,
    skipped: Mapping[str, str] | None = None,
) -> Plan:
    """Plan to delete our routes to a worker's pod CIDRs on the others, and all of ours on it.

    The plan has a refusal if the worker still answers ssh, or the pings of another machine. With
    `force` it has none.
    """
    leaving = cluster.machine(name)
    plans = []
    for machine in cluster.machines:
        if machine.name not in facts:
            continue
        found = facts[machine.name]
        doomed = [
            r
            for r in found.owned
            if within(r.prefix, cluster.pod_networks)
            and (machine.name == name or r.prefix in leaving.pod_cidrs)
        ]
        changes = tuple(Change(None, (r,)) for r in doomed)
        refusals = pending_refusals(found)
        if name not in facts:
            answers = sorted(str(ip) for ip in {r.next_hop for r in doomed} & found.answering)
        else:  # it answers ssh: say so once, at the worker itself
            answers = [leaving.public_ip] if machine.name == name else []
        if answers and not force:
            refusals.append(
                f"{name} still answers at {', '.join(answers)}: move its pods away first"
                " (kubectl drain), then repeat this with --force"
            )
        others = set() if machine.name == name else out_of_scope(found, leaving.pod_cidrs)
        at_boot = boot_routes(found, changes, cluster, others) if found.files else []
        plans.append(
            MachinePlan(
                machine.name,
                changes,
                bird=bird_removal(found) if machine.name == name else None,
                refusals=tuple(refusals),
                files=files_to(at_boot, found.managers, found.files),
                still_missing=tuple(r for r in missing_routes(found) if r.prefix in others),
                record_outdated=any(r.prefix not in others for r in found.recorded),
            )
        )
    return Plan(tuple(plans), skipped or {})
