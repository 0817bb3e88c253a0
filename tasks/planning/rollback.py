"""The way back, planned: to before the first apply, or to before the last run. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from tasks.common.text import listed
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.persistence.backends import files_to
from tasks.undo.records import Displaced
from tasks.undo.run import when

from .conflicts import waiting
from .drift import vanished
from .model import Change, MachinePlan, Plan
from .reconcile import besides, staying


def plan_rollback(
    cluster: Cluster, facts: Mapping[str, Facts], skipped: Mapping[str, str] | None = None
) -> Plan:
    """Plan the way back to before this tool first touched each machine."""
    plans = []
    for machine in cluster.machines:
        if machine.name not in facts:
            continue
        found = facts[machine.name]
        order = {line[0]: place for place, line in enumerate(found.runs)}
        first: dict[str, Displaced] = {}
        for kept in sorted(found.displaced, key=lambda d: (order.get(d.run, -1), d.file)):
            first.setdefault(kept.file.partition("_")[2], kept)
        here = set(found.routes)
        restores = tuple(_gone(k, here) for k in first.values() if not here.issuperset(k.routes))
        plans.append(
            MachinePlan(
                name=machine.name,
                changes=tuple(Change(None, (r,)) for r in found.owned),
                restores=restores,
                forgets=found.displaced,
                refusals=tuple(waiting(found)),
                way_back=True,
                files=files_to((), found.managers, found.files),
                forget=bool(found.kept),
            )
        )
    return Plan(tuple(plans), skipped or {})


def plan_last(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    latest: str,
    skipped: Mapping[str, str] | None = None,
) -> Plan:
    """Plan the way back to before the latest run, wherever it changed something and was kept.

    Files that bring routes back hold those that there are afterwards.
    """
    kept = {name: found.last for name, found in facts.items() if found.last is not None}
    plans = []
    for machine in cluster.machines:
        last = kept.get(machine.name)
        if last is None or last.run != latest:
            continue
        found = facts[machine.name]
        displaced = tuple(d for d in found.displaced if d.run == latest)
        here = set(found.routes)
        keys = {r.key for r in found.routes}
        there = {(r.key, r.hops, r.protocol): r for r in found.owned}
        back = {r.prefix: r for r in last.takes}
        changes = [
            Change(back.pop(put.prefix, None), (there[put.key, put.hops, put.protocol],))
            for put in last.puts
            if (put.key, put.hops, put.protocol) in there
        ]
        changes += [Change(route) for route in back.values() if route.key not in keys]
        about = {r.prefix for r in (*last.puts, *last.takes)}
        others = besides(found, about)
        plans.append(
            MachinePlan(
                machine.name,
                tuple(changes),
                restores=tuple(_gone(d, here) for d in displaced),
                forgets=displaced,
                way_back=True,
                files=files_to(
                    staying(found, changes, cluster, others) if found.files else (),
                    found.managers,
                    found.files,
                ),
                noted=tuple(r for r in vanished(found) if r.prefix in others),
                forget=any(r.prefix in about for r in found.kept),
            )
        )
    return Plan(tuple(plans), skipped or {})


def of_the_last(latest: str, skipped: Collection[str]) -> str:
    """Which run it is that is taken back, in a line."""
    doubt = f"; a later one on {listed(skipped)} would not be known" if skipped else ""
    return f"the last run that changed something, of {when(latest)}, is taken back{doubt}"


def _gone(kept: Displaced, here: set[Route]) -> Displaced:
    """A record with those of its routes that are not there: what an undo may take away again."""
    return replace(kept, routes=tuple(r for r in kept.routes if r not in here))
