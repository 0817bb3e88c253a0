"""A table of one machine by prefix: what stands there, and which route the kernel would use."""

from collections.abc import Iterable, Iterator

from .cluster import Address, Network
from .route import Route

Length = tuple[int, int]  # IP version, prefix length


class Prefixes:
    """An index of prefixes, to find the one that holds an address or a longer prefix."""

    def __init__(self, prefixes: Iterable[Network]) -> None:
        self._held: dict[Length, dict[int, Network]] = {}
        for prefix in prefixes:
            held = self._held.setdefault((prefix.version, prefix.prefixlen), {})
            held[int(prefix.network_address)] = prefix

    def over(self, address: Address) -> Network | None:
        """The shortest prefix that holds an address, None if there is none."""
        longest = (address.version, _BITS[address.version] + 1)
        return next(self.holding(longest, int(address)), None)

    def around(self, prefix: Network) -> Iterator[Network]:
        """The prefixes that hold this one and more, shortest first."""
        return self.holding((prefix.version, prefix.prefixlen), int(prefix.network_address))

    def holding(self, longer: Length, address: int) -> Iterator[Network]:
        """The prefixes, shortest first, that hold a longer one, which begins with this address."""
        for length in self.shorter(longer):
            shift = _BITS[length[0]] - length[1]
            prefix = self._held[length].get(address >> shift << shift)
            if prefix is not None:
                yield prefix

    def shorter(self, longer: Length) -> list[Length]:
        """The lengths of prefixes here that can hold prefixes of another length."""
        return sorted(one for one in self._held if one[0] == longer[0] and one[1] < longer[1])


class Lookup:
    """An index of routes by prefix, for longest prefix match (RFC 1812, 5.2.4.3)."""

    def __init__(self, routes: Iterable[Route], table: str = "main") -> None:
        self._held: dict[Length, dict[int, list[Route]]] = {}
        for route in routes:
            if route.table == table:
                prefix = route.prefix
                held = self._held.setdefault((prefix.version, prefix.prefixlen), {})
                held.setdefault(int(prefix.network_address), []).append(route)
        self._lengths = {
            version: sorted((length for v, length in self._held if v == version), reverse=True)
            for version in _BITS
        }

    def at(self, prefix: Network) -> list[Route]:
        """The routes to exactly this prefix, of any TOS, in the order of their metrics."""
        held = self._held.get((prefix.version, prefix.prefixlen), {})
        found = held.get(int(prefix.network_address), [])
        return found if len(found) < 2 else sorted(found, key=lambda r: r.metric)

    def inside(self, prefixes: Prefixes) -> dict[Network, list[Route]]:
        """The routes more specific than each prefix; they would win over a route to it."""
        found: dict[Network, list[Route]] = {}
        for longer, held in self._held.items():
            if not prefixes.shorter(longer):
                continue
            for address, routes in held.items():
                for prefix in prefixes.holding(longer, address):
                    found.setdefault(prefix, []).extend(routes)
        return found

    def route_to(self, address: Address) -> Route | None:
        """The route that packets to this address take, None if there is none."""
        version, value = address.version, int(address)
        for length in self._lengths[version]:
            shift = _BITS[version] - length
            held = self._held[version, length].get(value >> shift << shift)
            if held is not None and (usual := [r for r in held if r.tos == "0"]):
                return usual[0] if len(usual) == 1 else min(usual, key=lambda r: r.metric)
        return None

    def link_to(self, address: Address) -> str | None:
        """The device on whose link this address is, None if it is not on a link."""
        route = self.route_to(address)
        if route is None or route.type != "unicast" or len(route.hops) != 1:
            return None
        return route.hops[0].dev if route.hops[0].via is None else None


_BITS = {4: 32, 6: 128}
