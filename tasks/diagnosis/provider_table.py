"""Causes in the table of the provider's network: routes that it lacks or leads elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.common.values import Address
from tasks.connectivity.probe import probes
from tasks.inventory.model import ProviderNetwork
from tasks.networks.model import Table, TableRoute
from tasks.networks.provider import provider_of

from .model import Cause, Routed, Scene
from .remedy import Remedy

BY_HAND = 1  # workers whose routes are worth typing; for more there is apply-routes
HERE = "your own machine"


@dataclass(frozen=True)
class _Wrong:
    """A worker whose pods the table does not lead packets to."""

    worker: str
    wanted: TableRoute
    instead: TableRoute | None  # the route that it uses; None: none, or only its default route


def read_routed(network: ProviderNetwork | None, seconds: float | None) -> Routed | None:
    """The provider's network as its API shows it now; None where hosts.toml names none.

    `seconds`: how long a call of the provider's program may take.
    """
    if network is None:
        return None
    provider = provider_of(network, seconds)
    try:
        return Routed(network.name, provider, provider.read())
    except Stop as stop:
        return Routed(network.name, provider, None, str(stop.message))


def table_causes(scene: Scene) -> list[Cause]:
    """What is wrong with the routes of the provider's table to pods that do not answer.

    A pod needs its own route also for what it sends: the network drops sources that it does not
    know.
    """
    routed = scene.routed
    if routed is None or routed.table is None:
        return []
    return [cause for cause in _causes(scene, routed, routed.table) if cause.pairs]


def _causes(scene: Scene, routed: Routed, table: Table) -> Iterator[Cause]:
    found = [w for name in scene.facts for w in _wrong(scene, table, name)]
    lacking = [w for w in found if w.instead is None]
    if lacking:
        names = list(dict.fromkeys(w.worker for w in lacking))
        words = f"the network {routed.name} has no route to the pods of {listed(names)}"
        yield _cause(scene, routed, table, words, lacking)
    for wrong in found:
        if wrong.instead is not None:
            words = (
                f"the network {routed.name} sends packets for {wrong.worker}'s pods"
                f" {_way(wrong.instead)}, not via {wrong.wanted.gateway}"
            )
            yield _cause(scene, routed, table, words, [wrong])
    yield from _source_checks(scene, routed, table)
    yield from _other_tables(scene, routed, table)


def _other_tables(scene: Scene, routed: Routed, table: Table) -> Iterator[Cause]:
    """Machines whose packets go by another table of the provider's."""
    names = [
        machine.name
        for machine in scene.cluster.machines
        if any(
            ip in table.by_address and not table.by_address[ip].led for ip in machine.internal_ips
        )
    ]
    if names:
        pairs = dict.fromkeys(
            pair
            for name in names
            for pair in scene.silent_by_end.get(name, ())
            if pair.source == name or pair.from_pod
        )
        words = f"the subnets of {listed(names)} use another route table than {routed.name}"
        remedy = f"associate these subnets with {routed.name}, or name the other table in [network]"
        yield Cause(names[0] if len(names) == 1 else "", words, remedy, tuple(pairs))


def _source_checks(scene: Scene, routed: Routed, table: Table) -> Iterator[Cause]:
    """Workers from which and to which the network passes only their own addresses."""
    addresses = {worker.name: worker.internal_ip(4) for worker in scene.cluster.workers}
    found = {
        name: member
        for name, own in addresses.items()
        if own and (member := table.by_address.get(own)) and member.source_check
    }
    if not found:
        return
    words = f"the network {routed.name} drops packets of the pods of {listed(found)}"
    pairs = dict.fromkeys(pair for name in found for pair in scene.silent_through(name))
    if len(found) > BY_HAND:
        words += ": their source/destination checks are on"
        yield Cause("", words, "fab apply-routes", tuple(pairs))
        return
    ((name, member),) = found.items()
    commands = routed.provider.unchecked_by_hand(member)
    words += ": its source/destination check is on"
    yield Cause(name, words, Remedy(HERE, commands), tuple(pairs))


def _wrong(scene: Scene, table: Table, name: str) -> Iterator[_Wrong]:
    """The routes to a worker's pods that the table does not have."""
    machine = scene.cluster.machine(name)
    for probe in probes(machine, scene.facts[name]):
        gateway = machine.internal_ip(probe.address.version)
        route = _route_to(table, probe.address)
        if route is None or route.gateway != gateway:
            yield _Wrong(name, TableRoute(probe.pod_cidr, gateway), route)


def _route_to(table: Table, address: Address) -> TableRoute | None:
    """The route of a table that leads to an address, but not its default route."""
    found = [r for r in table.routes if r.destination.prefixlen and address in r.destination]
    return max(found, key=lambda route: route.destination.prefixlen, default=None)


def _way(route: TableRoute) -> str:
    return f"via {route.gateway}" if route.gateway else f"to {route.target or 'nothing'}"


def _cause(scene: Scene, routed: Routed, table: Table, words: str, found: list[_Wrong]) -> Cause:
    """One cause for the routes of some workers."""
    pairs = dict.fromkeys(
        pair
        for wrong in found
        for pair in scene.silent_through(wrong.worker, wrong.wanted.destination.version)
    )
    alone = found[0].worker if len(found) == 1 else ""
    if len(found) > BY_HAND:
        return Cause(alone, words, "fab apply-routes", tuple(pairs))
    (wrong,) = found
    if wrong.wanted.gateway not in table.by_address:
        attach = f"attach {alone} to the network {routed.name}"
        why = f"no machine there has its internal IP, {wrong.wanted.gateway}"
        return Cause(alone, words, f"{attach}: {why}", tuple(pairs))
    take = table.in_the_way(wrong.wanted.destination)
    commands = routed.provider.by_hand(table, take, wrong.wanted)
    return Cause(alone, words, Remedy(HERE, commands), tuple(pairs))
