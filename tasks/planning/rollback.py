"""The plan of a rollback: to before the first apply, or to before the last run. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from tasks.bgp.bird import is_of_bgp
from tasks.common.text import listed
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.persistence.backends import files_to
from tasks.undo.records import Displaced
from tasks.undo.run import when

from .bgp import bgp_route, bird_removal
from .boot import boot_routes, out_of_scope
from .conflicts import pending_refusals
from .drift import missing_routes
from .model import BirdChange, Change, MachinePlan, Plan


def plan_rollback(
    cluster: Cluster, facts: Mapping[str, Facts], skipped: Mapping[str, str] | None = None
) -> Plan:
    """Plan to delete all our routes, and to put back the routes that they first displaced."""
    plans = []
    for machine in cluster.machines:
        if machine.name not in facts:
            continue
        found = facts[machine.name]
        order = {line[0]: place for place, line in enumerate(found.runs)}
        first: dict[tuple[str, str, str], Displaced] = {}
        for displaced in sorted(found.displaced, key=lambda d: (order.get(d.run, -1), d.file)):
            first.setdefault(displaced.origin, displaced)
        here = set(found.routes)
        restores = tuple(_gone(d, here) for d in first.values() if not here.issuperset(d.routes))
        plans.append(
            MachinePlan(
                name=machine.name,
                changes=tuple(Change(None, (r,)) for r in found.owned),
                bird=bird_removal(found),
                restores=restores,
                discards=found.displaced,
                refusals=tuple(pending_refusals(found)),
                is_rollback=True,
                files=files_to((), found.managers, found.files),
                record_outdated=bool(found.recorded),
            )
        )
    return Plan(tuple(plans), skipped or {})


def plan_last(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    latest: str,
    skipped: Mapping[str, str] | None = None,
) -> Plan:
    """Plan to revert the run `latest` on each machine that it changed and that recorded it.

    The files that bring routes back at boot then hold the routes that there are afterwards.
    """
    plans = []
    for machine in cluster.machines:
        found = facts.get(machine.name)
        last = found.last if found else None
        if found is None or last is None or last.run != latest:
            continue
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
        stays = bool(found.files or found.bird.at_boot)
        bird, later = None, list[Change]()
        if found.bird.before is not None:
            bird = BirdChange(
                found.bird.before,
                found.bird.conf,
                at_boot=stays and found.bird.systemd and bool(found.bird.before),
                from_last=True,
                keeps=False,
                version=found.bird.version,
            )
        if bird and bird.conf:  # static routes go once those of BGP are there
            later = [c for c in changes if c.put is None]
            changes = [c for c in changes if c.put is not None]
        about = {r.prefix for r in (*last.puts, *last.takes)}
        others = out_of_scope(found, about)
        plans.append(
            MachinePlan(
                machine.name,
                tuple(changes),
                restores=tuple(_gone(d, here) for d in displaced),
                discards=displaced,
                is_rollback=True,
                files=files_to(
                    boot_routes(found, changes, cluster, others, later) if stays else (),
                    found.managers,
                    found.files,
                ),
                still_missing=tuple(r for r in missing_routes(found) if r.prefix in others),
                record_outdated=any(r.prefix in about for r in found.recorded),
                bird=bird,
                by_bgp=tuple(filter(is_of_bgp, found.routes)),
                expected=tuple(route for change in later for route in _by_bgp(change)),
                later=tuple(later),
            )
        )
    return Plan(tuple(plans), skipped or {})


def _by_bgp(change: Change) -> list[Route]:
    """The routes of BGP that static ones stood for."""
    hops = [hop for route in change.take for hop in route.hops]
    return [bgp_route(change.prefix, hop.via, hop.dev) for hop in hops if hop.via is not None]


def describe_last_run(latest: str, skipped: Collection[str]) -> str:
    """One line that tells the operator which run the rollback reverts."""
    doubt = f"; a later run on {listed(skipped)} would not be known" if skipped else ""
    return f"reverting the last run that changed something, of {when(latest)}{doubt}"


def _gone(displaced: Displaced, here: set[Route]) -> Displaced:
    """A record with only those of its routes that are not there: an undo may delete these again."""
    return replace(displaced, routes=tuple(r for r in displaced.routes if r not in here))
