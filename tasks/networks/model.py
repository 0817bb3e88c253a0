"""A provider's table of routes, as its API tells it: frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tasks.common.values import Address, Network, within

Key = tuple[Network, Address]  # destination and gateway: what a route is remembered by


@dataclass(frozen=True)
class TableRoute:
    """One route of a provider's table. A table has at most one to each destination."""

    destination: Network
    gateway: Address | None  # the address of the machine it leads to; None: it leads elsewhere
    target: str = ""  # what the API calls that which is no machine, such as "igw-0123"
    dead: bool = False  # the API itself says that it leads nowhere

    @property
    def key(self) -> Key | None:
        """What the route is remembered by; None if it leads to no machine."""
        return (self.destination, self.gateway) if self.gateway else None

    def __str__(self) -> str:
        """The route for people."""
        return f"{self.destination} via {self.gateway or self.target or 'nothing'}"


@dataclass(frozen=True)
class Member:
    """A machine's interface in the network, as the provider's API knows it."""

    address: Address
    id: str  # what the API calls it: a server at Hetzner, a network interface at AWS
    name: str  # of the server
    source_check: bool = False  # AWS: packets with the address of a pod are dropped
    led: bool = True  # whether what it sends goes by this table; AWS: by that of its subnet


@dataclass(frozen=True)
class Table:
    """A provider's network with its routes.

    `ranges`: the whole network, inside which machines need no route of their own: Hetzner's
    ip_range, the CIDRs of AWS's VPC. `subnets`: its parts that hold machines, which no route may
    lead elsewhere. `gateway`: the address by which machines reach destinations outside `ranges`;
    None if their default route leads to the network already.
    """

    id: str  # of the network or route table, for the API
    ranges: tuple[Network, ...]
    subnets: tuple[Network, ...]
    gateway: Address | None
    routes: tuple[TableRoute, ...]
    members: tuple[Member, ...]
    limit: int  # how many routes it can hold
    exclusive: bool = False  # two destinations must not overlap, except with 0.0.0.0/0
    destinations: tuple[Network, ...] = ()  # where destinations must be; empty: anywhere

    def next_hop(self, destination: Network) -> Address | None:
        """Where machines send packets to a destination; None if they need no route to it."""
        return None if within(destination, self.ranges) else self.gateway

    @cached_property
    def by_address(self) -> Mapping[Address, Member]:
        """The members by their addresses."""
        return {member.address: member for member in self.members}

    @cached_property
    def by_destination(self) -> Mapping[Network, TableRoute]:
        """The routes by their destinations."""
        return {route.destination: route for route in self.routes}

    def works(self, route: TableRoute) -> bool:
        """Whether a route leads to something that there is."""
        return not route.dead and (route.gateway is None or route.gateway in self.by_address)

    def in_the_way(self, destination: Network) -> list[TableRoute]:
        """The routes that leave a new one no room, or packets of its destination.

        That is one to the same destination, and those inside it. Where destinations must not
        overlap it is also a wider one, except to 0.0.0.0/0.
        """
        return [
            route
            for route in self.routes
            if within(route.destination, (destination,))
            or (
                self.exclusive
                and route.destination.prefixlen
                and within(destination, (route.destination,))
            )
        ]


def overlap(one: Network, other: Network) -> bool:
    """Whether one of two prefixes holds the other."""
    return within(one, (other,)) or within(other, (one,))
