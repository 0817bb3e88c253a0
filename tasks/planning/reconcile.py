"""The plan that takes each machine from the routes it has to those it should have. Pure."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tasks.bgp.bird import is_of_bgp
from tasks.common.values import Address, Network, within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Number, Place, Route, number_of, own_route, place_of
from tasks.iproute.table import Lookup, Prefixes
from tasks.networks.model import Table
from tasks.persistence.backends import files_to, persisted_routes, unmanaged

from .bgp import BgpRun, bgp_route, bgp_run, bird_refusals, handed_over, same_metric
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
    everyone = _Everyone(
        cluster,
        tuple(
            _target(w, prefix, cluster, table) for w in cluster.workers for prefix in w.pod_cidrs
        ),
        only,
        skipped,
        bgp_run(cluster, facts, limit),
    )
    plans = [
        _plan_machine(_Scope(everyone, machine), facts[machine.name], allowed)
        for machine in cluster.machines
        if machine.name in facts and limit in ("", machine.name)
    ]
    return Plan(tuple(plans), skipped)


class Target(NamedTuple):
    """A worker's pod CIDR, and the next hop to it."""

    worker: Machine
    prefix: Network
    place: Place
    via: Address | None
    number: Number | None  # of the next hop
    in_networks: bool  # whether the prefix is inside pod_networks
    routed: bool  # whether a provider's network leads there, and machines need no route


def _target(worker: Machine, prefix: Network, cluster: Cluster, table: Table | None) -> Target:
    via = worker.internal_ip(prefix.version) if table is None else table.next_hop(prefix)
    return Target(
        worker,
        prefix,
        place_of(prefix),
        via,
        number_of(via) if via is not None else None,
        within(prefix, cluster.pod_networks),
        table is not None and via is None,
    )


@dataclass(frozen=True)
class _Everyone:
    """What the plans of all machines share."""

    cluster: Cluster
    targets: tuple[Target, ...]  # of all workers
    only: str  # plan only the routes to and on this worker; empty: all workers
    skipped: Mapping[str, str]
    bgp: BgpRun

    @cached_property
    def index(self) -> Prefixes:
        """An index of all pod CIDRs."""
        return Prefixes(target.prefix for target in self.targets)

    @cached_property
    def absent(self) -> set[Network]:
        """The pod CIDRs of machines that could not be reached."""
        return {t.prefix for t in self.targets if t.worker.name in self.skipped}


@dataclass(frozen=True)
class _Scope:
    """The scope of one machine's plan: the prefixes that it is about."""

    everyone: _Everyone
    machine: Machine

    @property
    def cluster(self) -> Cluster:
        """The cluster."""
        return self.everyone.cluster

    @property
    def only(self) -> str:
        """The worker that the plan is limited to; empty: no limit, as on that worker itself."""
        return "" if self.everyone.only == self.machine.name else self.everyone.only

    @property
    def targets(self) -> list[Target]:
        """The targets that this machine needs a route to."""
        return [target for target in self._targets if not target.routed]

    @property
    def routed(self) -> list[Target]:
        """The targets that a provider's network leads to by itself."""
        return [target for target in self._targets if target.routed and target.in_networks]

    @cached_property
    def _targets(self) -> list[Target]:
        """The pod CIDRs of the other workers that are in scope and were reached."""
        own, only, skipped = self.machine.name, self.only, self.everyone.skipped
        return [
            t
            for t in self.everyone.targets
            if t.worker.name != own
            and t.worker.name not in skipped
            and (not only or t.worker.name == only)
        ]

    @cached_property
    def places(self) -> frozenset[Place]:
        """The places of the targets: hashed faster than their prefixes."""
        return frozenset(target.place for target in self._targets)

    @cached_property
    def hidden(self) -> set[Network]:
        """The pod CIDRs out of scope: of workers that were not reached, or excluded by `only`."""
        if not self.only:
            return self.everyone.absent
        others = {t.prefix for t in self.everyone.targets if t.worker.name != self.only}
        return self.everyone.absent | others


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
    scope: _Scope,
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


def _plan_machine(scope: _Scope, facts: Facts, allowed: Allowed) -> MachinePlan:
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


def out_of_scope(facts: Facts, about: Container[Network]) -> set[Network]:
    """The prefixes of our routes, in a machine's files or recorded, that are not in `about`."""
    prefixes = {prefix for prefix, _ in persisted_routes(facts.files)} | {
        r.prefix for r in facts.recorded
    }
    return {prefix for prefix in prefixes if prefix not in about}


def boot_routes(
    facts: Facts,
    changes: Iterable[Change],
    cluster: Cluster,
    hidden: Container[Network],
    later: Iterable[Change] = (),
) -> list[Route]:
    """The routes for a machine's boot files: ours inside pod_networks, after the changes.

    `later`: changes that only delete, after the others. For `hidden` prefixes, which are out of
    scope, the files keep the routes that they have, even if the kernel lost them.
    """
    lookup = Lookup(facts.routes)
    in_files = [
        own_route(prefix, via, dev)
        for prefix, via in persisted_routes(facts.files)
        if prefix in hidden and (dev := lookup.link_to(number_of(via))) is not None
    ]
    taken = {r.key for change in changes for r in change.take}
    there = {r.key: r for r in (*in_files, *facts.owned) if r.key not in taken}
    there.update((c.put.key, c.put) for c in changes if c.put is not None)
    gone = {r.key for change in later for r in change.take}
    return [
        r for r in there.values() if within(r.prefix, cluster.pod_networks) and r.key not in gone
    ]


def _without_target(owned: Iterable[Route], scope: _Scope, changes: list[Change]) -> list[Route]:
    """Our routes whose prefix is no target's, unless a change deletes them already."""
    rest = [r for r in owned if r.place not in scope.places]
    taken = {route for change in changes for route in change.take} if rest else set()
    return [r for r in rest if r not in taken]


def _prune_refusals(stale: list[Route], scope: _Scope, facts: Facts, allowed: Allowed) -> list[str]:
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
