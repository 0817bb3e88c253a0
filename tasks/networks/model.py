"""A provider's table of routes, as its API tells it: frozen values."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.common.values import Address, Network, within


@dataclass(frozen=True)
class TableRoute:
    """One route of a provider's table. A table has at most one to each destination."""

    destination: Network
    gateway: Address | None  # the address of the machine it leads to; None: it leads elsewhere
    target: str = ""  # what the API calls that which is no machine, such as "igw-0123"
    dead: bool = False  # the API itself says that it leads nowhere

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


@dataclass(frozen=True)
class Table:
    """A provider's network with its routes.

    `gateway`: the address by which machines reach destinations outside `ranges`; None if they need
    no route of their own, because their default route leads to it.
    """

    id: str  # of the network or route table, for the API
    ranges: tuple[Network, ...]  # the whole network: Hetzner's ip_range, the CIDRs of AWS's VPC
    subnets: tuple[Network, ...]
    gateway: Address | None
    routes: tuple[TableRoute, ...]
    members: tuple[Member, ...]
    limit: int  # how many routes it can hold

    def next_hop(self, destination: Network) -> Address | None:
        """Where machines send packets to a destination; None if they need no route to it."""
        return None if within(destination, self.ranges) else self.gateway

    def member(self, address: Address | None) -> Member | None:
        """The machine that has this address in the network, or None."""
        return next((one for one in self.members if one.address == address), None)

    def works(self, route: TableRoute) -> bool:
        """Whether a route leads to something that there is."""
        if route.dead:
            return False
        return route.gateway is None or self.member(route.gateway) is not None

    def at(self, destination: Network) -> TableRoute | None:
        """The route to exactly this destination, or None."""
        return next((r for r in self.routes if r.destination == destination), None)

    def overlapping(self, destination: Network) -> Iterator[TableRoute]:
        """The routes to other destinations, of which one holds the other."""
        for route in self.routes:
            other = route.destination
            if other != destination and (
                within(other, (destination,)) or within(destination, (other,))
            ):
                yield route
