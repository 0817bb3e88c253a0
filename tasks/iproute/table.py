"""A routing table of one machine, indexed by prefix. It finds the route that the kernel uses."""

from collections.abc import Iterable, Iterator

from tasks.common.values import Address, Network

from .route import Length, Number, Place, Route, number_of, place_of


class Prefixes:
    """An index of prefixes. It finds those that contain an address or a longer prefix."""

    def __init__(self, prefixes: Iterable[Network]) -> None:
        self._held: dict[Length, dict[int, Network]] = {}
        for prefix in prefixes:
            length, first = place_of(prefix)
            self._held.setdefault(length, {})[first] = prefix

    def over(self, address: Address) -> Network | None:
        """The shortest prefix that contains an address, or None."""
        longest = (address.version, _BITS[address.version] + 1)
        return next(self.holding(longest, int(address)), None)

    def around(self, prefix: Network) -> Iterator[Network]:
        """The shorter prefixes that contain this one, shortest first."""
        return self.holding(*place_of(prefix))

    def holding(self, longer: Length, address: int) -> Iterator[Network]:
        """The prefixes that contain a longer prefix, shortest first.

        `longer` is the longer prefix's length and `address` its first address.
        """
        for length in self.shorter(longer):
            shift = _BITS[length[0]] - length[1]
            prefix = self._held[length].get(address >> shift << shift)
            if prefix is not None:
                yield prefix

    def shorter(self, longer: Length) -> list[Length]:
        """The lengths in this index that are shorter than another of the same family, sorted."""
        return sorted(one for one in self._held if one[0] == longer[0] and one[1] < longer[1])


class Lookup:
    """An index of routes by prefix, for longest prefix match (RFC 1812, 5.2.4.3)."""

    def __init__(self, routes: Iterable[Route], table: str = "main") -> None:
        self._held: dict[Length, dict[int, list[Route]]] = {}
        for route in routes:
            if route.table == table:
                length, first = route.place
                self._held.setdefault(length, {}).setdefault(first, []).append(route)
        for held in self._held.values():
            for there in held.values():
                if len(there) > 1:
                    there.sort(key=lambda r: r.metric)
        self._longest_first = {
            version: [
                (bits - length, held)
                for (v, length), held in sorted(self._held.items(), reverse=True)
                if v == version
            ]
            for version, bits in _BITS.items()
        }

    def at(self, place: Place) -> list[Route]:
        """The routes to exactly this prefix, of any TOS, lowest metric first."""
        length, first = place
        return self._held.get(length, {}).get(first, [])

    def over(self, place: Place) -> list[Route]:
        """The routes to the longest prefix that contains this one or equals it, in the same order.

        Empty if there is none.
        """
        (version, length), first = place
        for shift, held in self._longest_first[version]:
            if shift >= _BITS[version] - length and (found := held.get(first >> shift << shift)):
                return found
        return []

    def inside(self, prefixes: Prefixes) -> dict[Network, list[Route]]:
        """The more specific routes inside each prefix. They win over a route to the prefix."""
        found: dict[Network, list[Route]] = {}
        for longer, held in self._held.items():
            if not prefixes.shorter(longer):
                continue
            for address, routes in held.items():
                for prefix in prefixes.holding(longer, address):
                    found.setdefault(prefix, []).extend(routes)
        return found

    def route_to(self, address: Address) -> Route | None:
        """The route that the kernel uses for packets to this address (TOS 0), or None."""
        return self._route_to(number_of(address))

    def link_to(self, number: Number) -> str | None:
        """The device on whose link this address is; None if it is not directly on a link."""
        route = self._route_to(number)
        if route is None or route.type != "unicast" or len(route.hops) != 1:
            return None
        via, dev = route.hops[0]
        return dev if via is None else None

    def _route_to(self, number: Number) -> Route | None:
        version, value = number
        for shift, held in self._longest_first[version]:
            for route in held.get(value >> shift << shift, ()):
                if route.tos == "0":
                    return route
        return None


_BITS = {4: 32, 6: 128}
