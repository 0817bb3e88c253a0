"""One prefix settled: what is wanted there against what stands there. Pure."""

from collections import Counter

from tasks.common.values import Network
from tasks.iproute.route import Route

from .conflicts import Obstacle, cannot_come_back, route_in_the_way, says, twin_in_the_way
from .model import Allowed, Change


def settle(
    wanted: Route, there: list[Route], allowed: Allowed
) -> tuple[Change | None, list[Route], list[Obstacle]]:
    """One wanted route against what is there: at its prefix by metric, then inside it.

    Gives the change, the route that is right, and what stands in the way.
    """

    def at_it(r: Route) -> bool:
        return r.prefix == wanted.prefix and r.tos == "0"

    def is_right(r: Route) -> bool:
        return at_it(r) and says(r, wanted)

    exact = [r for r in there if at_it(r)]
    right = [r for r in exact if says(r, wanted)]
    wrong = [r for r in exact if not says(r, wanted)]
    good = _good_enough(exact, wrong, right, allowed)
    # The kernel replaces the first one.
    take = [] if good else [r for r in exact if not says(r, wanted) or _adopted(r, allowed)]
    take += [r for r in there if not at_it(r) and (r.owned or not says(r, wanted))]
    kept = [r for r in right if good or not _adopted(r, allowed)][:1]
    foreign = [r for r in take if not r.owned]
    blocks = [
        route_in_the_way(wanted, r)
        for r in foreign
        if not is_right(r) and not _may_take(r, allowed)
    ]
    displaced = [r for r in foreign if _may_take(r, allowed) or is_right(r)]
    keys = Counter(r.key for r in there if not r.owned) if displaced else Counter()
    blocks += [twin_in_the_way(wanted, r) for r in displaced if keys[r.key] > 1]
    blocks += _lost(wanted.prefix, displaced, there)
    if blocks and exact[:1] != kept:
        kept = []  # the kernel uses another one
    change = Change(None if kept else wanted, tuple(take))
    return (change if change.put or take else None), kept, blocks


def _lost(prefix: Network, displaced: list[Route], there: list[Route]) -> list[Obstacle]:
    """Routes that would not come back: all of a prefix and protocol are saved together."""
    saved = {(r.prefix, r.protocol) for r in displaced}
    beside = (r for r in there if not r.owned and (r.prefix, r.protocol) in saved)
    return [cannot_come_back(prefix, r) for r in beside if r.unsaved]


def _good_enough(
    exact: list[Route], wrong: list[Route], right: list[Route], allowed: Allowed
) -> bool:
    """Whether the routes at a prefix can stay: the first is right, and ours or not to be adopted.

    A foreign one is not adopted where another foreign one behind it would then win.
    """
    if not right or exact[0] is not right[0]:
        return False
    if not _adopted(right[0], allowed):
        return True
    return any(not r.owned and not _may_take(r, allowed) for r in wrong)


def _adopted(route: Route, allowed: Allowed) -> bool:
    """Whether a right route is made ours."""
    return allowed.adopt and not route.owned and route.protocol != "kernel"


def _may_take(route: Route, allowed: Allowed) -> bool:
    """Whether a foreign route may be displaced; one that belongs to an address never."""
    return allowed.replace and route.protocol != "kernel"


def settle_own(
    prefix: Network, there: list[Route], allowed: Allowed
) -> tuple[list[Change], list[Obstacle]]:
    """Routes that lead a machine's own pods away from it (kubernetes-the-hard-way#539)."""
    away = [r for r in there if r.owned or (r.prefix == prefix and r.hops and r.hops[0].via)]
    blocks = [
        Obstacle(
            prefix,
            f"{r} leads this machine's own pods away from it",
            "--replace takes it away and keeps it for rollback",
        )
        for r in away
        if not r.owned and not _may_take(r, allowed)
    ]
    blocks += _lost(prefix, [r for r in away if not r.owned and _may_take(r, allowed)], there)
    if blocks or not away:
        return [], blocks
    return [Change(None, (r,)) for r in away], []
