"""What a plan changes where pod CIDRs are exchanged by BGP, and on the way there and back. Pure.

A machine keeps its static routes until the routes of BGP stand on every machine: they win, because
their metric is lower. On the way back the static routes come first.
"""

from collections.abc import Iterable

from tasks.bgp.bird_conf import METRIC, bird_conf
from tasks.common.values import Address, Network
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Hop, Route

from .model import BirdChange, Change


def is_of_bgp(route: Route) -> bool:
    """Whether this tool's BIRD has put a route there."""
    return route.protocol == "bird" and route.metric == METRIC and route.table == "main"


def bgp_route(prefix: Network, via: Address, dev: str) -> Route:
    """The route to a worker's pod CIDR that comes by BGP."""
    return Route(prefix, (Hop(via, dev),), protocol="bird", metric=METRIC)


def bird_change(cluster: Cluster, machine: Machine, facts: Facts) -> BirdChange | None:
    """What becomes of this tool's BIRD; None if it stays as it is."""
    wanted = bird_conf(cluster, cluster.bgp, machine) if cluster.bgp else ""
    as_it_is = wanted == facts.bird.conf and (facts.bird.running or not wanted)
    return None if as_it_is else BirdChange(wanted, facts.bird.conf)


def handed_over(change: Change | None, in_sync: Iterable[Route]) -> list[Change]:
    """What is deleted at a prefix once its route of BGP stands: our static routes, and others.

    `change`, `in_sync`: what would be done, and what would stay, for a static route.
    """
    taken = [*(change.take if change else ()), *(r for r in in_sync if r.owned)]
    return [Change(None, (route,)) for route in taken]
