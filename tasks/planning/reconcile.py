"""The plan, from the routes each machine has to those it should have. Pure; no network here."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tasks.common.values import Address, Network, within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Number, Place, Route, number_of, own_route, place_of
from tasks.iproute.table import Lookup, Prefixes
from tasks.persistence.backends import files_to, unmanaged, ways_in

from .conflicts import (
    Obstacle,
    Policy,
    is_ours,
    no_manager,
    refusal,
    rule_in_the_way,
    shadows,
    waiting,
)
from .drift import drift, vanished
from .model import Allowed, Change, MachinePlan, Plan
from .prefix import settle, settle_own


def plan_routes(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    allowed: Allowed,
    only: str = "",
    skipped: Mapping[str, str] | None = None,
) -> Plan:
    """Plan a route to every other worker's pod CIDR on every machine there are facts of.

    `cluster` is complete: each worker that could be asked has its pod CIDRs and internal IPs.
    With `only`, nothing but the routes to that worker, and those on it.
    """
    skipped = skipped or {}
    everyone = _Everyone(
        cluster,
        tuple(_target(w, prefix, cluster) for w in cluster.workers for prefix in w.pod_cidrs),
        only,
        skipped,
    )
    plans = [
        _plan_machine(_Scope(everyone, machine), facts[machine.name], allowed)
        for machine in cluster.machines
        if machine.name in facts
    ]
    return Plan(tuple(plans), skipped)


class Target(NamedTuple):
    """A worker's pod CIDR, and the next hop to it."""

    worker: Machine
    prefix: Network
    place: Place
    via: Address | None
    number: Number | None  # of the next hop
    inside: bool  # pod_networks


def _target(worker: Machine, prefix: Network, cluster: Cluster) -> Target:
    via = worker.internal_ip(prefix.version)
    return Target(
        worker,
        prefix,
        place_of(prefix),
        via,
        number_of(via) if via is not None else None,
        within(prefix, cluster.pod_networks),
    )


@dataclass(frozen=True)
class _Everyone:
    """What is the same for all machines."""

    cluster: Cluster
    targets: tuple[Target, ...]  # of all workers
    only: str  # empty: all workers
    skipped: Mapping[str, str]

    @cached_property
    def index(self) -> Prefixes:
        """All pod CIDRs."""
        return Prefixes(target.prefix for target in self.targets)

    @cached_property
    def absent(self) -> set[Network]:
        """The pod CIDRs of machines that cannot be asked."""
        return {t.prefix for t in self.targets if t.worker.name in self.skipped}


@dataclass(frozen=True)
class _Scope:
    """What one machine is planned within."""

    everyone: _Everyone
    machine: Machine

    @property
    def cluster(self) -> Cluster:
        """The cluster."""
        return self.everyone.cluster

    @property
    def only(self) -> str:
        """The one worker whose routes are meant; empty: all. On itself that is all of them."""
        return "" if self.everyone.only == self.machine.name else self.everyone.only

    @cached_property
    def targets(self) -> list[Target]:
        """The other workers' pod CIDRs, as far as they are meant and can be asked for."""
        own, only, skipped = self.machine.name, self.only, self.everyone.skipped
        return [
            t
            for t in self.everyone.targets
            if t.worker.name != own
            and t.worker.name not in skipped
            and (not only or t.worker.name == only)
        ]

    @cached_property
    def prefixes(self) -> frozenset[Network]:
        """The prefixes of the targets."""
        return frozenset(target.prefix for target in self.targets)

    @cached_property
    def hidden(self) -> set[Network]:
        """Pod CIDRs that are not touched here: of machines that cannot be asked, or not meant."""
        if not self.only:
            return self.everyone.absent
        others = {t.prefix for t in self.everyone.targets if t.worker.name != self.only}
        return self.everyone.absent | others


def _plan_machine(scope: _Scope, facts: Facts, allowed: Allowed) -> MachinePlan:
    machine, targets = scope.machine, scope.targets
    lookup = Lookup(facts.routes)
    inside = lookup.inside(scope.everyone.index)
    itself = {number_of(a.ip) for _, a in facts.addresses}
    policy = Policy(facts, scope.cluster, scope.everyone.index)

    changes: list[Change] = []
    right: list[Route] = []
    obstacles: list[Obstacle] = []
    refusals = waiting(facts)
    for worker, prefix, place, via, number, within_ours in targets:
        there = lookup.at(place)
        dev = lookup.link_to(number) if number is not None and number not in itself else None
        if via is None or dev is None or not within_ours:
            refusals.append(refusal(worker, prefix, via, facts, lookup, scope.cluster))
            continue
        if not inside and not facts.rules and len(there) == 1 and is_ours(there[0], via, dev):
            right += there  # the usual case, by the shortest way
            continue
        there = [*there, *inside.get(prefix, [])]
        wanted = own_route(prefix, via, dev)
        change, kept, blocks = settle(wanted, there, allowed)
        blocks += [rule_in_the_way(wanted, r) for r in policy.over(wanted)]
        right += kept
        obstacles += blocks
        if change is not None and not blocks:
            changes.append(change)
    puts = [change.prefix for change in changes if change.put is not None]
    if puts:
        refusals += shadows(puts, facts, scope.cluster)
    for prefix in machine.pod_cidrs:
        if scope.only or not within(prefix, scope.cluster.pod_networks):
            continue
        there = [*lookup.at(place_of(prefix)), *inside.get(prefix, [])]
        own, blocks = settle_own(prefix, there, allowed)
        changes += own
        obstacles += blocks

    strays = _strays(facts.owned, scope, right, changes)
    networks, hidden = scope.cluster.pod_networks, scope.hidden
    outside = [r for r in strays if not within(r.prefix, networks)]
    stale = [
        r
        for r in ([] if scope.only else strays)
        if within(r.prefix, networks) and r.prefix not in hidden
    ]
    if allowed.prune:
        refusals += _prune_refusals(stale, scope, facts, allowed)
        changes += [Change(None, (r,)) for r in stale]
    stay = []
    if scope.cluster.persist != "none":
        stay = staying(facts, changes, scope.cluster, hidden)
    refusals += [no_manager(dev) for dev in unmanaged(stay, facts.managers)]
    gone = vanished(facts)
    wanted_at = scope.prefixes if gone else frozenset()
    return MachinePlan(
        name=machine.name,
        changes=tuple(changes),
        right=tuple(right),
        obstacles=tuple(obstacles),
        left=() if allowed.prune else tuple(stale),
        outside=tuple(outside),
        refusals=tuple(refusals),
        files=files_to(stay, facts.managers, facts.files),
        noted=tuple(r for r in gone if r.prefix in hidden),
        drift=drift(facts, wanted_at, scope.cluster.persist == "auto"),
    )


def besides(facts: Facts, about: Container[Network]) -> set[Network]:
    """The prefixes of ours on a machine, there or lost, that a run is not about."""
    prefixes = {prefix for prefix, _ in ways_in(facts.files)} | {r.prefix for r in facts.kept}
    return {prefix for prefix in prefixes if prefix not in about}


def staying(
    facts: Facts, changes: Iterable[Change], cluster: Cluster, hidden: Container[Network]
) -> list[Route]:
    """The routes for a machine's files: those of ours that there will be, in pod_networks.

    To prefixes that are hidden from this plan also those that stand in the files now: a route
    that happens to be lost today is to come back all the same.
    """
    lookup = Lookup(facts.routes)
    asleep = [
        own_route(prefix, via, dev)
        for prefix, via in ways_in(facts.files)
        if prefix in hidden and (dev := lookup.link_to(number_of(via))) is not None
    ]
    taken = {r.key for change in changes for r in change.take}
    there = {r.key: r for r in (*asleep, *facts.owned) if r.key not in taken}
    there.update((c.put.key, c.put) for c in changes if c.put is not None)
    return [r for r in there.values() if within(r.prefix, cluster.pod_networks)]


def _strays(
    owned: Iterable[Route], scope: _Scope, right: list[Route], changes: list[Change]
) -> list[Route]:
    """The routes of ours that are no target's, nor taken away for one."""
    kept = {id(route) for route in right}
    rest = [r for r in owned if id(r) not in kept and r.prefix not in scope.prefixes]
    taken = {route for change in changes for route in change.take} if rest else set()
    return [r for r in rest if r not in taken]


def _prune_refusals(stale: list[Route], scope: _Scope, facts: Facts, allowed: Allowed) -> list[str]:
    unknown = [
        w.name
        for w in scope.cluster.workers
        if w.name in scope.everyone.skipped and not w.pod_cidrs
    ]
    if stale and unknown:
        return [
            f"cannot prune: {', '.join(unknown)} cannot be asked for its pod CIDR;"
            " write pod_cidr in hosts.toml"
        ]
    if allowed.force:
        return []
    return [
        f"cannot prune {r.prefix}: its next hop {r.next_hop} still answers, so that worker is up."
        " Does it belong to the cluster? Then write it into hosts.toml; if not, --prune --force"
        for r in stale
        if r.next_hop in facts.answering
    ]
