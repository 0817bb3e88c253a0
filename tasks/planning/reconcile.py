"""The plan that takes each machine from the routes it has to those it should have. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks.bgp.bird import is_of_bgp
from tasks.common.values import Network, within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route, number_of, own_route, place_of
from tasks.iproute.table import Lookup
from tasks.networks.model import Table
from tasks.persistence.backends import files_to, unmanaged

from .bgp import bgp_route, bgp_run, bird_refusals, handed_over, same_metric
from .boot import boot_routes
from .conflicts import (
    Conflict,
    PolicyRules,
    gateway_refusal,
    is_ours,
    lockout_refusals,
    pending_refusals,
    persist_refusal,
    route_refusal,
    rule_conflict,
)
from .drift import bgp_drift, drift, missing_routes
from .model import Allowed, Change, MachinePlan, Plan
from .prefix import plan_own_prefix, plan_prefix, plan_unneeded
from .scope import Everyone, Scope, targets


def plan_routes(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    allowed: Allowed,
    only: str = "",
    skipped: Mapping[str, str] | None = None,
    limit: str = "",
    table: Table | None = None,
) -> Plan:
    """Plan a route to every other worker's pod CIDR on each machine that `facts` has.

    `cluster` must be complete: each worker that was reached has its pod CIDRs and internal IPs.
    `only`: the name of one worker; then the plan has only the routes to it, and those on it.
    `skipped`: by machine, why it could not be reached.
    `limit`: the one machine that may be changed; then the plan is for this machine alone.
    `table`: the provider's, if its network routes: then next hop is its gateway, and machines have
    no route to what it routes by itself.
    """
    skipped = skipped or {}
    everyone = Everyone(
        cluster,
        targets(cluster, table),
        only,
        skipped,
        bgp_run(cluster, facts, limit),
    )
    plans = [
        _plan_machine(Scope(everyone, machine), facts[machine.name], allowed)
        for machine in cluster.machines
        if machine.name in facts and limit in ("", machine.name)
    ]
    return Plan(tuple(plans), skipped)


@dataclass
class _Found:
    """What the plan of one machine collects while its targets are gone through."""

    changes: list[Change] = field(default_factory=list)
    in_sync: list[Route] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    by_bgp: list[Route] = field(default_factory=list)
    expected: list[Route] = field(default_factory=list)
    later: list[Change] = field(default_factory=list)
    absent: list[Route] = field(default_factory=list)


def _plan_targets(
    scope: Scope,
    facts: Facts,
    allowed: Allowed,
    lookup: Lookup,
    inside: Mapping[Network, list[Route]],
) -> _Found:
    """Plan the routes to the pod CIDRs of the other workers."""
    run, cluster = scope.everyone.bgp, scope.cluster
    itself = {number_of(a.ip) for _, a in facts.addresses}
    policy_rules = PolicyRules(facts, cluster, scope.everyone.index)
    found = _Found()
    for worker, prefix, place, via, number, in_networks, _ in scope.targets:
        every = lookup.at(place)
        dev = lookup.link_to(number) if number is not None and number not in itself else None
        if via is None or dev is None or not in_networks:
            refuse = route_refusal if cluster.network is None else gateway_refusal
            found.refusals.append(refuse(worker, prefix, via, facts, lookup, cluster))
            continue
        there = [r for r in every if not is_of_bgp(r)]
        if (
            not (cluster.bgp or inside or facts.rules)
            and len(there) == 1
            and is_ours(there[0], via, dev)
        ):
            found.in_sync += there  # a shortcut for the usual case
            continue
        there = [*there, *inside.get(prefix, [])]
        wanted = own_route(prefix, via, dev)
        change, kept, conflicts = plan_prefix(wanted, there, allowed)
        conflicts += [rule_conflict(wanted, rule) for rule in policy_rules.diverting(wanted)]
        stands = [r for r in every if is_of_bgp(r) and r.next_hop == via] if cluster.bgp else []
        if worker.name in run.speaking and not (kept or stands or conflicts):
            found.absent.append(bgp_route(prefix, via, dev))
        if stands or run.comes(scope.machine, worker):
            found.by_bgp += stands
            found.expected.append(bgp_route(prefix, via, dev))
            found.refusals += same_metric(found.expected[-1], there)
            later = handed_over(change, kept)
            if stands and run.restarts and not kept:
                change = change or Change(wanted)  # until the sessions are there again
                later = [Change(None, (wanted,))]
            else:
                change = None
            found.later += [] if conflicts else later
            kept = stands or [r for r in kept if not r.owned]
        found.in_sync += kept
        found.conflicts += conflicts
        if change is not None and not conflicts:
            found.changes.append(change)
    return found


def _plan_machine(scope: Scope, facts: Facts, allowed: Allowed) -> MachinePlan:
    cluster, hidden = scope.cluster, scope.hidden
    lookup = Lookup(facts.routes)
    inside = lookup.inside(scope.everyone.index)
    run = scope.everyone.bgp
    bird = run.bird_change(scope.machine, facts)
    to = _plan_targets(scope, facts, allowed, lookup, inside)
    changes, conflicts = to.changes, to.conflicts
    refusals = pending_refusals(facts) + to.refusals
    refusals += bird_refusals(cluster, scope.machine, facts, allowed.install)
    puts = [change.prefix for change in changes if change.put is not None]
    puts += [r.prefix for r in to.expected] if bird else []
    if puts:
        refusals += lockout_refusals(puts, facts, cluster)
    for target in scope.routed:
        there = [*lookup.at(target.place), *inside.get(target.prefix, [])]
        deletions, found = plan_unneeded(target.worker, target.prefix, there, allowed)
        changes += deletions
        conflicts += found
    for prefix in scope.machine.pod_cidrs:
        if scope.only or not within(prefix, cluster.pod_networks):
            continue
        there = [*lookup.at(place_of(prefix)), *inside.get(prefix, [])]
        deletions, found = plan_own_prefix(prefix, there, facts, allowed)
        changes += deletions
        conflicts += found

    no_target = _without_target(facts.owned, scope, changes)
    outside = [r for r in no_target if not within(r.prefix, cluster.pod_networks)]
    stale = [
        r
        for r in ([] if scope.only else no_target)
        if within(r.prefix, cluster.pod_networks) and r.prefix not in hidden
    ]
    if allowed.prune:
        refusals += _prune_refusals(stale, scope, facts, allowed)
        changes += [Change(None, (r,)) for r in stale]
    at_boot = []
    if cluster.persist != "none":
        at_boot = boot_routes(facts, changes, cluster, hidden, to.later)
    refusals += [persist_refusal(dev) for dev in unmanaged(at_boot, facts.managers)]
    return MachinePlan(
        name=scope.machine.name,
        changes=tuple(changes),
        in_sync=tuple(to.in_sync),
        conflicts=tuple(conflicts),
        stale=() if allowed.prune else tuple(stale),
        outside_networks=tuple(outside),
        refusals=tuple(refusals),
        files=files_to(at_boot, facts.managers, facts.files),
        still_missing=tuple(r for r in missing_routes(facts) if r.prefix in hidden),
        drift=(
            *drift(facts, scope.places, cluster.persist == "auto"),
            *bgp_drift(facts, run.neighbors(scope.machine), () if bird else to.absent),
        ),
        bird=bird,
        install=bool(cluster.bgp) and allowed.install and not facts.bird.version,
        bird_stays=cluster.bgp is None and bird is None and facts.bird.running,
        by_bgp=tuple(to.by_bgp),
        expected=tuple(to.expected),
        later=tuple(to.later),
    )


def _without_target(owned: Iterable[Route], scope: Scope, changes: list[Change]) -> list[Route]:
    """Our routes whose prefix is no target's, unless a change deletes them already."""
    rest = [r for r in owned if r.place not in scope.places]
    taken = {route for change in changes for route in change.take} if rest else set()
    return [r for r in rest if r not in taken]


def _prune_refusals(stale: list[Route], scope: Scope, facts: Facts, allowed: Allowed) -> list[str]:
    """Why the stale routes must not be deleted, one line for each reason."""
    unknown = [
        w.name
        for w in scope.cluster.workers
        if w.name in scope.everyone.skipped and not w.pod_cidrs
    ]
    if stale and unknown:
        return [
            f"cannot prune: the pod CIDR of {', '.join(unknown)} is not known, because it could not"
            " be reached: write its pod_cidr into hosts.toml"
        ]
    if allowed.force:
        return []
    return [
        f"cannot prune {r.prefix}: its next hop {r.next_hop} still answers, so a worker is up:"
        " if it belongs to the cluster, add it to hosts.toml; else use --prune --force"
        for r in stale
        if r.next_hop in facts.answering
    ]
