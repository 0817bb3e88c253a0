"""The plan of a twin, from hosts.toml. Values that the file leaves out are invented."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from zlib import crc32

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.values import Address, Network
from tasks.inventory.model import Cluster, Machine
from tasks.snapshots.model import State

from .wiring import PREFIX, Addresses, Nic, Router, around, overlaps, router_of, unused, wire

LONGEST_POD_CIDR = {4: 29, 6: 120}
FOR_NAMES = values.network("198.18.0.0/15")  # reserved for tests: no real host has such an address
FOR_NODES = {
    4: [values.network(text) for text in ("10.240.0.0/12", "172.16.0.0/12", "192.168.0.0/16")],
    6: [values.network("fd00:240::/48"), values.network("fd00:241::/48")],
}


@dataclass(frozen=True)
class Way:
    """How the operator reaches a machine of a copy: by which bridge, and from which address."""

    to: str
    bridge: str
    source: str


@dataclass(frozen=True)
class Host:
    """One machine of the twin. `pod`: whether a pod runs on it. `state`: what it is a copy of."""

    name: str
    role: str
    address: str  # where ssh goes
    internal_ips: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    nics: tuple[Nic, ...]
    pod: bool
    state: State | None = None


@dataclass(frozen=True)
class Spec:
    """The whole twin. `gateways`: bridges, each with an address of the operator and its length."""

    hosts: tuple[Host, ...]
    gateways: tuple[tuple[str, str], ...]
    user: str
    port: int
    invented: tuple[str, ...]  # a line for each thing that hosts.toml left out
    router: Router | None = None  # of the provider's network, if hosts.toml names one
    ways: tuple[Way, ...] = ()  # to machines of a copy

    def host(self, name: str) -> Host:
        """The machine of that name; KeyError if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def to_text(self) -> str:
        """One line that `from_text` reads back."""
        from pydantic import TypeAdapter

        return TypeAdapter(Spec).dump_json(self, exclude_defaults=True).decode()

    @staticmethod
    def from_text(text: str) -> "Spec":
        """The spec that `to_text` wrote. Raises ValueError where the text is not of that form."""
        from pydantic import TypeAdapter

        spec = TypeAdapter(Spec).validate_json(text)
        for host in spec.hosts:
            _as_written(host.name, values.name)
            for address in (host.address, *host.internal_ips):
                _as_written(address, values.address)
            for cidr in host.pod_cidrs:
                _as_written(cidr, values.network)
            for nic in host.nics:
                _as_written(nic.name, values.device)
                for address in nic.addresses:
                    _as_written(address, values.interface)
        if spec.router is not None:
            for network in (spec.router.range, *spec.router.subnets):
                _as_written(network, values.network)
                for address in nic.neighbours:
                    _as_written(address, values.address)
        for way in spec.ways:
            for address in (way.to, way.source):
                _as_written(address, values.address)
        return replace(spec, invented=tuple(map(values.shown, spec.invented)))


def port(index: int, nic: Nic) -> str:
    """The name of the operator's end of a link of a machine, given the machine's number."""
    name = f"{index}-{nic.name}"
    return name if len(name) < 16 else f"{index}-{crc32(nic.name.encode()):x}"


def _as_written(text: str, parse: Callable[[str], object]) -> None:
    if str(parse(text)) != text:
        raise ValueError(f"not in its usual form: {values.quoted(text)}")


def design(cluster: Cluster, pods: Collection[str] | None = None) -> Spec:
    """The plan of a cluster's twin. `pods`: the workers with a pod, None for all workers.

    Raises Stop where no address or network is free for an invented value.
    """
    public = _public(cluster)
    nodes = (*cluster.node_networks, *_invented_nodes(cluster, public))
    internal = _internal(cluster, public, nodes)
    pod_cidrs = _pod_cidrs(cluster, public, nodes, internal)
    router = router_of(cluster.network, nodes, internal) if cluster.network else None
    nics, gateways = wire(cluster.machines, public, nodes, internal, router)
    hosts = tuple(
        Host(
            name=m.name,
            role=m.role,
            address=str(public[m.name]),
            internal_ips=tuple(map(str, internal[m.name])),
            pod_cidrs=tuple(map(str, pod_cidrs[m.name])),
            nics=nics[m.name],
            pod=m.role == "worker" and (pods is None or m.name in pods),
        )
        for m in cluster.machines
    )
    invented = [
        line for m, host in zip(cluster.machines, hosts, strict=True) for line in _invented(m, host)
    ]
    if not cluster.node_networks and any(m.internal_ips for m in cluster.machines):
        invented.append("node_networks: a /24 (IPv6: a /64) around each internal IP")
    if router is not None:
        invented.append(f"network {router.name}: its range, {router.range}")
    return Spec(
        hosts,
        gateways,
        user=cluster.ssh.user or "root",
        port=cluster.ssh.port or 22,
        invented=tuple(invented),
        router=router,
    )


def _invented(machine: Machine, host: Host) -> Iterator[str]:
    found = []
    internal = [ip for ip in host.internal_ips if ip not in (host.address, machine.public_ip)]
    if not machine.internal_ips and internal:
        found.append(f"internal IP {', '.join(internal)}")
    if not machine.pod_cidrs and host.pod_cidrs:
        found.append(f"pod CIDR {', '.join(host.pod_cidrs)}")
    if _address(machine.public_ip) != values.address(host.address):
        found.append(f"public address {host.address} for {machine.public_ip}")
    if found:
        yield f"{machine.name}: {'; '.join(found)}"


def _address(text: str) -> Address | None:
    try:
        return values.address(text)
    except ValueError:
        return None


def _stated(cluster: Cluster) -> list[Address]:
    """Every address that the file names."""
    public = (_address(machine.public_ip) for machine in cluster.machines)
    internal = chain.from_iterable(machine.internal_ips for machine in cluster.machines)
    return [address for address in chain(public, internal) if address is not None]


def free_address(network: Network, taken: Collection[Address]) -> Address:
    """An address of a network that nobody has; outside of it where it is full."""
    spare = unused(FOR_NAMES if network.version == 4 else FOR_NODES[6][0], taken)
    return next(chain(unused(network, taken), spare))


def _free_network(cluster: Cluster, within: Iterable[Network], taken: Iterable[Network]) -> Network:
    """A network inside `within` with room for every machine. It overlaps neither `taken` nor any
    network or address in the file. Raises Stop where none is free.
    """
    avoid = [
        *cluster.pod_networks,
        *cluster.node_networks,
        *(around(address, cluster.node_networks) for address in _stated(cluster)),
        *taken,
    ]
    room = (len(cluster.machines) + 2).bit_length()
    for outer in within:
        length = min(PREFIX[outer.version], outer.max_prefixlen - room)
        for network in outer.subnets(new_prefix=length):
            if not overlaps(network, avoid):
                return network
    raise Stop(
        f"{cluster.path}: leaves no private network free for addresses that the twin invents"
    )


def _public(cluster: Cluster) -> dict[str, Address]:
    """The address that ssh uses for each machine: from the file, invented for a host name.

    Where the internal IPs are behind a router, the operator's link is another one.
    """
    stated = {machine.name: _address(machine.public_ip) for machine in cluster.machines}
    if cluster.network is not None:
        inner = chain.from_iterable(machine.internal_ips for machine in cluster.machines)
        networks = (*cluster.node_networks, *(around(ip, cluster.node_networks) for ip in inner))
        stated = {
            name: None if address and values.within(values.host(address), networks) else address
            for name, address in stated.items()
        }
    if None not in stated.values():
        return {name: address for name, address in stated.items() if address is not None}
    invented = unused(_free_network(cluster, [FOR_NAMES], []), ())
    next(invented)  # the first is for the gateway
    return {name: address or next(invented) for name, address in stated.items()}


def _invented_nodes(cluster: Cluster, public: dict[str, Address]) -> list[Network]:
    """A network for invented internal IPs, for each family that node_networks lacks."""
    if all(machine.internal_ips for machine in cluster.machines):
        return []
    missing = [f for f in _families(cluster) if f not in {n.version for n in cluster.node_networks}]
    taken = [around(address) for address in public.values()]
    return [_free_network(cluster, FOR_NODES[family], taken) for family in missing]


def _families(cluster: Cluster) -> list[int]:
    return sorted({network.version for network in cluster.pod_networks})


def _internal(
    cluster: Cluster, public: dict[str, Address], nodes: tuple[Network, ...]
) -> Addresses:
    """The internal IPs: from the file, else public IPs inside node_networks, else invented."""
    taken = {*_stated(cluster), *public.values()}

    def invent(machine: Machine, family: int) -> Address:
        own = _address(machine.public_ip) or public[machine.name]
        here = [network for network in nodes if network.version == family]
        if own.version == family and any(own in network for network in here):
            return own
        for network in here:
            free = unused(network, taken, cluster.pod_networks)
            next(free, None)  # the first is for a gateway
            for address in free:
                taken.add(address)
                return address
        raise Stop(
            f"{cluster.path}: {machine.name}: no free IPv{family} address for its internal IP "
            "in node_networks; name its internal_ip"
        )

    families = _families(cluster)
    return {
        machine.name: machine.internal_ips or tuple(invent(machine, f) for f in families)
        for machine in cluster.machines
    }


def _pod_cidrs(
    cluster: Cluster,
    public: dict[str, Address],
    nodes: tuple[Network, ...],
    internal: Addresses,
) -> dict[str, tuple[Network, ...]]:
    """The pod CIDRs: from the file, else invented inside pod_networks."""
    avoid = [
        *chain.from_iterable(worker.pod_cidrs for worker in cluster.workers),
        *nodes,
        *map(values.host, public.values()),
        *map(values.host, chain.from_iterable(internal.values())),
    ]
    lacking = [worker.name for worker in cluster.workers if not worker.pod_cidrs]
    invented: dict[str, tuple[Network, ...]] = {}
    for family in _families(cluster) if lacking else []:
        pools = [network for network in cluster.pod_networks if network.version == family]
        for length in range(PREFIX[family], LONGEST_POD_CIDR[family] + 1):
            free = (
                network
                for pool in pools
                if pool.prefixlen <= length
                for network in pool.subnets(new_prefix=length)
                if not overlaps(network, avoid)
            )
            found = list(islice(free, len(lacking)))
            if len(found) == len(lacking):
                break
        else:
            raise Stop(
                f"{cluster.path}: pod_networks has no room for the IPv{family} pod CIDRs left out "
                f"on {', '.join(lacking)}; name each pod_cidr"
            )
        for name, network in zip(lacking, found, strict=True):
            invented[name] = (*invented.get(name, ()), network)
    return {m.name: m.pod_cidrs or invented.get(m.name, ()) for m in cluster.machines}
