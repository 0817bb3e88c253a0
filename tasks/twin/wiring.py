"""The links of a twin's machines, and where each leads. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from zlib import crc32

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.common.values import Address, Network
from tasks.inventory.model import Machine, ProviderNetwork

from .stand_in import ROUTER

# Prefix lengths of a node's network that the file does not name, and of an invented pod CIDR.
PREFIX = {4: 24, 6: 64}
WIDEST = 8  # the shortest prefix of a provider's network: that of 10.0.0.0/8

Addresses = dict[str, tuple[Address, ...]]


@dataclass(frozen=True)
class Nic:
    """A link of a machine, the bridge it is a port of, and its addresses with prefix lengths.

    A link to ROUTER leads there. The machine is alone on it, or with the others of its subnet.
    `bridge`: empty where nobody else is on its network. `neighbours`: the others there, in a copy.
    """

    name: str
    bridge: str
    addresses: tuple[str, ...] = ()
    gateway: str | None = None
    neighbours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Router:
    """What leads from machine to machine where the provider's network is no layer 2.

    `name` is what the provider's API calls it. `subnets` hold the machines, and `range` all of
    them.
    """

    provider: str
    name: str
    range: str
    subnets: tuple[str, ...]

    @property
    def linked(self) -> bool:
        """Whether the machines of a subnet are on one link; else each is alone with the router."""
        return self.provider == "aws"

    @property
    def address(self) -> str:
        """Its address for machines that are alone: they send to it what is for the range."""
        return first(values.network(self.range))


def first(network: Network) -> str:
    """The first address of a network, which is the router's."""
    return str(network.network_address + 1)


def port(index: int, nic: Nic) -> str:
    """The name of the other end of a machine's link. `index`: the machine's place in the spec."""
    name = f"{index}-{nic.name}"
    return name if len(name) < 16 else f"{index}-{crc32(nic.name.encode()):x}"


def around(address: Address, networks: Iterable[Network] = ()) -> Network:
    """The network of an address: the smallest of `networks` around it, else one of usual size."""
    usual = values.network(f"{address}/{PREFIX[address.version]}")
    known = [n for n in networks if n.version == address.version and address in n]
    return max(known, key=lambda network: network.prefixlen, default=usual)


def overlaps(network: Network, others: Iterable[Network]) -> bool:
    """Whether a network has an address in common with one of the others."""
    return any(network.version == other.version and network.overlaps(other) for other in others)


def unused(
    network: Network, taken: Collection[Address], without: Collection[Network] = ()
) -> Iterator[Address]:
    """The host addresses of a network that are neither in `taken` nor inside `without`."""
    for number in range(1, min(network.num_addresses - 1, 1 << 16)):
        address = network.network_address + number
        if address not in taken and not overlaps(values.host(address), without):
            yield address


def router_of(network: ProviderNetwork, nodes: Collection[Network], internal: Addresses) -> Router:
    """The router of a provider's network. Its range is the smallest around all internal IPs.

    Only IPv4 is routed. Raises Stop where a machine has an address of the router, or none, and
    where no network can hold all machines.
    """
    taken = {ip for ip in chain.from_iterable(internal.values()) if ip.version == 4}
    if len(taken) < len(internal):
        raise Stop(f"network {network.name}: each machine needs an IPv4 address as internal_ip")
    subnets = sorted({around(ip, nodes) for ip in taken}, key=lambda net: int(net.network_address))
    whole = subnets[0]
    while whole.prefixlen and (
        not all(values.within(subnet, (whole,)) for subnet in subnets)
        or whole.network_address + 1 in taken
    ):
        whole = whole.supernet()
    if whole.prefixlen < WIDEST:
        raise Stop(
            f"network {network.name}: no network holds {listed(map(str, subnets))}: correct"
            " internal_ip or node_networks"
        )
    router = Router(network.provider, network.name, str(whole), tuple(map(str, subnets)))
    for subnet in subnets if router.linked else ():
        if values.address(first(subnet)) in taken:
            raise Stop(
                f"network {network.name}: {first(subnet)} cannot be an internal_ip: the first"
                f" address of {subnet} is that of its router"
            )
    return router


def wire(
    machines: tuple[Machine, ...],
    public: dict[str, Address],
    nodes: tuple[Network, ...],
    internal: Addresses,
    router: Router | None = None,
) -> tuple[dict[str, tuple[Nic, ...]], tuple[tuple[str, str], ...]]:
    """Each machine's links, and the gateways in the operator's namespace, each with its bridge.

    With a router, internal IPs are on links to it.
    """

    def on_link(address: Address) -> str:
        return f"{address}/{around(address, nodes).prefixlen}"

    everyone = list(chain(public.values(), *internal.values()))
    taken = set(everyone)
    inner = chain.from_iterable(internal.values() if router is None else ())
    private = {around(address, nodes) for address in inner}
    gateways: dict[Network, tuple[str, str]] = {}
    nics: dict[str, tuple[Nic, ...]] = {}
    for machine in machines:
        own, others = public[machine.name], internal[machine.name]
        network = around(own, nodes)
        if network not in gateways:
            gateway = next(unused(network, taken), None)
            if gateway is None:
                raise Stop(f"{network}: no address left for a gateway in the twin")
            bridge = "private" if network in private else "public"
            taken.add(gateway)
            gateways[network] = (bridge, on_link(gateway))
        bridge, gateway_on_link = gateways[network]
        via = gateway_on_link.split("/")[0]
        # A machine whose internal IP is in the network of its public IP has a single link.
        single = router is None and any(
            ip.version == own.version and ip in network for ip in others
        )
        addresses = dict.fromkeys((own, *others) if single else (own,))
        default = None if router is not None and router.linked else via
        nics[machine.name] = (Nic("eth0", bridge, tuple(map(on_link, addresses)), default),)
        if router is not None and router.linked:
            inner_ip = next(ip for ip in others if ip.version == 4)
            default = first(around(inner_ip, nodes))
            nics[machine.name] += (Nic("enp6s0", ROUTER, tuple(map(on_link, others)), default),)
        elif router is not None:
            alone = tuple(str(values.host(ip)) for ip in others)
            nics[machine.name] += (Nic("enp6s0", ROUTER, alone),)
        elif others and not single:
            nics[machine.name] += (Nic("enp6s0", "private", tuple(map(on_link, others))),)
    return nics, tuple(gateways.values())
