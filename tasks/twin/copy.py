"""The plan of a twin that copies machines as a snapshot has them.

The network between the machines is not in a snapshot. A switch stands in for it: links whose
addresses are of one network are joined. The operator is where the machines saw the operator's ssh
come from, and has the addresses of their gateways.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

from tasks.common import values
from tasks.common.values import Address, Interface, Network
from tasks.snapshots.gap import Gap
from tasks.snapshots.model import Link, Member, Snapshot, State

from .design import Host, Spec, Way, free_address
from .wiring import Nic

# Links that are joined to the network between the machines. The kernel here may lack their kinds; a
# plain link of the same name stands in. Links of other kinds lead nowhere in the copy.
ON_THE_WIRE = frozenset(("", "vlan", "bond", "team", "macvlan", "ipvlan"))
COPIED = frozenset(("", "bridge", "veth"))
DEFAULT_USER = "root"
NOWHERE = values.address("192.0.2.1")

End = tuple[int, str]  # a machine's number, and a link of it


def design_copy(snapshot: Snapshot, user: str | None = None) -> Spec:
    """The plan of the copy of a snapshot. `user`: who logs in, None for root."""
    machines = [Wiring(member.state) for member in snapshot.machines]
    wires = _wires(machines)
    gateways = dict(_gateways(machines, wires))
    clients, ways = _operator(snapshot, machines, wires, gateways)
    neighbours = _neighbours(machines, wires)
    hosts = tuple(
        Host(
            name=member.name,
            role=member.role,
            address=str(_ssh_address(member, machine)),
            internal_ips=member.internal_ips,
            pod_cidrs=member.pod_cidrs,
            nics=tuple(
                Nic(name, wire, neighbours=tuple(a for n, a in neighbours[wire] if n != number))
                for name in machine.on_wire
                for wire in [wires.get((number, name), "")]
            ),
            pod=False,
            state=member.state,
        )
        for number, (member, machine) in enumerate(zip(snapshot.machines, machines, strict=True))
    )
    ports = [member.state.port for member in snapshot.machines]
    return Spec(
        hosts,
        gateways=(*((wire, address) for address, wire in gateways.items()), *clients),
        user=user or DEFAULT_USER,
        port=max(sorted(set(ports)), key=ports.count),
        invented=(),
        ways=ways,
    )


def stand_ins(state: State) -> Iterator[Gap]:
    """The links in whose place others stand, because their kind is not copied.

    A plain link on the same network does what one of another kind there does.
    """
    for link in state.links:
        if link.kind not in COPIED and link.name != "lo":
            there = link.kind in ON_THE_WIRE
            instead = "a plain link" if there else "one that leads nowhere"
            words = f"{link.name} is of the kind {link.kind}: {instead} stands in for it"
            yield Gap(words, device=link.master or link.name, packets=not there)


class Wiring:
    """How the links of a machine lead to other machines."""

    def __init__(self, state: State) -> None:
        self.addresses = [
            (link, i)
            for link in state.links
            for i in (values.interface(address.local) for address in link.addresses)
            if not (i.is_link_local or i.is_loopback)
        ]
        self.defaults = list(_default_routes(chain(state.ipv4.routes, state.ipv6.routes)))
        self._links = state.links

    @cached_property
    def on_wire(self) -> Sequence[str]:
        """The links that lead to other machines.

        The port of a pod is a veth too, but only an uplink has an address with a network, or leads
        to the next hop of a default route.
        """
        uplinks = {device for _, device in self.defaults}
        uplinks |= {link.name for link, i in self.addresses if _network(i)}
        return [link.name for link in self._links if _leads_out(link, uplinks)]

    @cached_property
    def below(self) -> Mapping[str, Sequence[str]]:
        """The links to other machines under each link: itself, or the ports of a bridge."""
        out = frozenset(self.on_wire)
        found: dict[str, list[str]] = defaultdict(list)
        for link in self._links:
            if link.name in out:
                found[link.name].append(link.name)
                if link.master:
                    found[link.master].append(link.name)
        return found

    def networks(self, device: str) -> list[Network]:
        """The networks on a link. A next hop counts where its address is in none of them."""
        own = [n for link, i in self.addresses if link.name == device and (n := _network(i))]
        hops = [values.host(via) for via, dev in self.defaults if dev == device]
        return [*own, *hops]

    def device(self, address: Address) -> str:
        """The link that has an address; empty where none has it."""
        return next((link.name for link, i in self.addresses if i.ip == address), "")


def _leads_out(link: Link, uplinks: Collection[str]) -> bool:
    if link.name == "lo":
        return False
    if link.kind != "veth":
        return link.kind in ON_THE_WIRE
    return link.name in uplinks and not link.peer and not link.master


def _network(own: Interface) -> Network | None:
    """The network of an address; None where it is alone, as with /32."""
    return own.network if own.network.num_addresses > 1 else None


def _default_routes(lines: Iterable[str]) -> Iterator[tuple[Address, str]]:
    """The next hops of default routes, each with its device, in every table."""
    for line in lines:
        if not line.startswith(("default ", "1 default ")):
            continue
        words = line.replace("\\", " ").split()
        for at in (at for at, word in enumerate(words[:-3]) if word == "via"):
            via, *rest = words[at + 1 :]
            if via in ("inet", "inet6"):
                via, *rest = rest
            if "dev" in rest[:-1]:
                address = values.address(via)
                if not address.is_link_local:
                    yield address, rest[rest.index("dev") + 1]


def _wires(machines: Sequence[Wiring]) -> dict[End, str]:
    """The network between machines that each link is joined to, by the addresses there."""
    groups: list[tuple[list[Network], list[End]]] = []
    for number, machine in enumerate(machines):
        for device, below in machine.below.items():
            ends = [(number, name) for name in below]
            networks = machine.networks(device)
            if not networks:
                continue
            joined = [g for g in groups if _meet(g[0], networks) or set(g[1]) & set(ends)]
            groups = [g for g in groups if g not in joined]
            every = dict.fromkeys(n for g in [*joined, (networks, ends)] for n in g[0])
            groups.append((list(every), [e for g in [*joined, (networks, ends)] for e in g[1]]))
    return {end: f"wire{number}" for number, (_, ends) in enumerate(groups) for end in ends}


def _meet(some: Iterable[Network], others: Collection[Network]) -> bool:
    return any(a.version == b.version and a.overlaps(b) for a in some for b in others)


def _wire(end: End, machines: Sequence[Wiring], wires: Mapping[End, str]) -> str:
    """The network between machines that a link leads to, perhaps as a bridge; empty if none."""
    number, device = end
    below = machines[number].below.get(device, ())
    return next((wire for name in below if (wire := wires.get((number, name)))), "")


def _gateways(machines: Sequence[Wiring], wires: Mapping[End, str]) -> Iterator[tuple[str, str]]:
    """The next hops of default routes that no machine is: address with length, and network."""
    taken = {i.ip for machine in machines for _, i in machine.addresses}
    for number, machine in enumerate(machines):
        for via, device in machine.defaults:
            wire = _wire((number, device), machines, wires)
            if wire and via not in taken:
                lengths = [
                    i.network.prefixlen
                    for link, i in machine.addresses
                    if link.name == device and i.version == via.version and via in i.network
                ]
                yield f"{via}/{max(lengths, default=via.max_prefixlen)}", wire


def _ssh_address(member: Member, machine: Wiring) -> Address:
    """The machine's own address that ssh goes to; a provider may have it behind another."""
    own = [i.ip for _, i in machine.addresses]
    named = [member.state.server, member.public_ip, *member.internal_ips]
    likely = [a for text in named if (a := _address(text)) is not None and a in own]
    return next(iter([*likely, *own]), NOWHERE)


def _address(text: str) -> Address | None:
    try:
        return values.address(text)
    except ValueError:
        return None


def _operator(
    snapshot: Snapshot,
    machines: Sequence[Wiring],
    wires: Mapping[End, str],
    gateways: Mapping[str, str],
) -> tuple[list[tuple[str, str]], tuple[Way, ...]]:
    """The operator's own addresses, each with its link, and the way to each machine."""
    taken = {i.ip for machine in machines for _, i in machine.addresses}
    held = {values.interface(text).ip for text in gateways}
    clients: dict[Address, None] = {}
    ways = []
    for number, (member, machine) in enumerate(zip(snapshot.machines, machines, strict=True)):
        to = _ssh_address(member, machine)
        wire = _wire((number, machine.device(to)), machines, wires)
        client = _address(member.state.client)
        if client is None or client.version != to.version or client in taken or client.is_loopback:
            here = (i.network for _, i in machine.addresses if i.ip == to)
            client = free_address(next(here, values.host(to)), {*taken, *held})
        if client not in held:
            clients[client] = None
        ways.append(Way(str(to), wire, str(client)))
    return [("lo", str(values.host(address))) for address in clients], tuple(ways)


def _neighbours(
    machines: Sequence[Wiring], wires: Mapping[End, str]
) -> Mapping[str, list[tuple[int, str]]]:
    """The machines' addresses on each network between them, each with its machine's number."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, machine in enumerate(machines):
        for link, i in machine.addresses:
            wire = _wire((number, link.name), machines, wires)
            if wire:
                found[wire].append((number, str(i.ip)))
    return found
