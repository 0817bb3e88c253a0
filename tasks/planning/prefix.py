"""The plan for one prefix: the wanted route against the routes that are there. Pure."""

from collections import Counter

from tasks.common.values import Network
from tasks.facts.model import Facts
from tasks.inventory.model import Machine
from tasks.iproute.route import Route

from .conflicts import Conflict, order_conflict, restore_conflict, route_conflict, same_next_hop
from .model import Allowed, Change


def plan_prefix(
    wanted: Route, there: list[Route], allowed: Allowed
) -> tuple[Change | None, list[Route], list[Conflict]]:
    """Compare one wanted route with the routes that are there.

    `there` begins with the routes to the prefix itself, by metric; those to prefixes inside it
    follow. Gives the change if one is needed, the route that is in sync, and the conflicts.
    """

    def at_prefix(r: Route) -> bool:
        return r.prefix == wanted.prefix and r.tos == "0"

    def is_right(r: Route) -> bool:
        return at_prefix(r) and same_next_hop(r, wanted)

    exact = [r for r in there if at_prefix(r)]
    right = [r for r in exact if same_next_hop(r, wanted)]
    wrong = [r for r in exact if not same_next_hop(r, wanted)]
    good = _good_enough(exact, wrong, right, allowed)
    # In this order: `ip route replace` replaces the first route.
    take = [r for r in exact if not is_right(r) or _adopted(r, allowed)] if not good else []
    take += [r for r in there if not at_prefix(r) and (r.owned or not same_next_hop(r, wanted))]
    in_sync = [r for r in right if good or not _adopted(r, allowed)][:1]
    foreign = [r for r in take if not r.owned]
    conflicts = [
        route_conflict(wanted.prefix, r)
        for r in foreign
        if not is_right(r) and not _may_take(r, allowed)
    ]
    displaced = [r for r in foreign if _may_take(r, allowed) or is_right(r)]
    keys = Counter(r.key for r in there if not r.owned) if displaced else Counter()
    conflicts += [order_conflict(wanted, r) for r in displaced if keys[r.key] > 1]
    conflicts += _restore_conflicts(wanted.prefix, displaced, there)
    if conflicts and exact[:1] != in_sync:
        in_sync = []  # the kernel uses another route
    change = Change(None if in_sync else wanted, tuple(take))
    return (change if change.put or take else None), in_sync, conflicts


def _restore_conflicts(
    prefix: Network, displaced: list[Route], there: list[Route]
) -> list[Conflict]:
    """A conflict for each route that would be saved with the displaced ones but not restored.

    `ip route save` saves all routes of the same prefix and protocol together.
    """
    saved = {(r.prefix, r.protocol) for r in displaced}
    together = (r for r in there if not r.owned and (r.prefix, r.protocol) in saved)
    return [restore_conflict(prefix, r) for r in together if r.unsaved]


def _good_enough(
    exact: list[Route], wrong: list[Route], right: list[Route], allowed: Allowed
) -> bool:
    """Whether the routes at a prefix can stay: the first is right, and needs no adoption.

    A foreign route is not adopted if another foreign route behind it would then win.
    """
    if not right or exact[0] is not right[0]:
        return False
    if not _adopted(right[0], allowed):
        return True
    return any(not r.owned and not _may_take(r, allowed) for r in wrong)


def _adopted(route: Route, allowed: Allowed) -> bool:
    """Whether --adopt makes this route ours, given that it has the wanted next hop."""
    return allowed.adopt and not route.owned and route.protocol != "kernel"


def _may_take(route: Route, allowed: Allowed) -> bool:
    """Whether --replace allows to displace a foreign route; never one that an address brings."""
    return allowed.replace and route.protocol != "kernel"


def plan_unneeded(
    worker: Machine, prefix: Network, there: list[Route], allowed: Allowed
) -> tuple[list[Change], list[Conflict]]:
    """The deletions of routes to pods that the provider's network leads to, and the conflicts.

    Ours go: an earlier hosts.toml wanted them. A foreign one that leads to the worker stays.
    """
    away = [
        r
        for r in there
        if r.owned or r.type != "unicast" or r.next_hop != worker.internal_ip(prefix.version)
    ]
    conflicts = [
        route_conflict(prefix, r) for r in away if not r.owned and not _may_take(r, allowed)
    ]
    displaced = [r for r in away if not r.owned and _may_take(r, allowed)]
    conflicts += _restore_conflicts(prefix, displaced, there)
    return ([], conflicts) if conflicts else ([Change(None, (r,)) for r in away], [])


def plan_own_prefix(
    prefix: Network, there: list[Route], facts: Facts, allowed: Allowed
) -> tuple[list[Change], list[Conflict]]:
    """The deletions of routes that lead a machine's own pods elsewhere, and the conflicts.

    Such a route cut off pods in kubernetes-the-hard-way#539. One over a link that has an address in
    the prefix leads to the pods, whatever its next hop is: Cilium adds such a route.
    """
    links = {dev for dev, a in facts.addresses if a.ip in prefix}

    def leads_away(r: Route) -> bool:
        return any(hop.via is not None and hop.dev not in links for hop in r.hops)

    away = [r for r in there if r.owned or (r.prefix == prefix and leads_away(r))]
    conflicts = [
        Conflict(
            prefix,
            f"{r} sends packets to this machine's own pods elsewhere",
            "--replace removes it, and rollback puts it back",
        )
        for r in away
        if not r.owned and not _may_take(r, allowed)
    ]
    displaced = [r for r in away if not r.owned and _may_take(r, allowed)]
    conflicts += _restore_conflicts(prefix, displaced, there)
    if conflicts:
        return [], conflicts
    return [Change(None, (r,)) for r in away], []
