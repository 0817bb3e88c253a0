"""Routes to other workers' pods that a machine lacks, and the pairs that need them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.common.values import Address
from tasks.connectivity.probe import probes
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.inventory.model import Machine
from tasks.iproute.route import Route
from tasks.iproute.table import Lookup

from .model import Scene
from .policy import ProbeAddresses


@dataclass(frozen=True)
class MissingRoute:
    """A route to a worker's pods that a machine does not have."""

    to: str  # the worker
    family: int
    instead: Route | None  # the other route that it uses; None: none, or only the default route


def probe_addresses(machine: Machine, facts: Facts) -> dict[int, Address]:
    """The addresses of a worker's probes, by IP version."""
    return {probe.address.version: probe.address for probe in probes(machine, facts)}


def missing_routes(scene: Scene, name: str, probed: ProbeAddresses) -> list[MissingRoute]:
    """The routes to other workers' pods that a machine does not have."""
    lookup = Lookup(scene.facts[name].routes)
    found = []
    for worker in scene.cluster.workers:
        if worker.name == name or worker.name not in scene.facts:
            continue
        for family, address in probed[worker.name].items():
            route = lookup.route_to(address)
            planned = scene.next_hop(worker, family)
            if route is None or route.prefix.prefixlen == 0:
                if planned is not None:
                    found.append(MissingRoute(worker.name, family, None))
            elif leads_elsewhere(route, planned):
                found.append(MissingRoute(worker.name, family, route))
    return found


def leads_elsewhere(route: Route, planned: Address | None) -> bool:
    """Whether a route leads elsewhere than planned; without a plan, whether it leads nowhere."""
    return route.type != "unicast" if planned is None else route.next_hop != planned


def pairs_over(scene: Scene, name: str, missing: Iterable[MissingRoute]) -> tuple[Pair, ...]:
    """The silent pairs whose requests or answers need these routes on a machine."""
    ways = {(route.to, route.family) for route in missing}
    return tuple(
        pair
        for pair in scene.silent_by_end.get(name, ())
        if (pair.source == name and (pair.target, pair.family) in ways)
        or (pair.target == name and pair.from_pod and (pair.source, pair.family) in ways)
    )
