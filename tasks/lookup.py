"""Which route the kernel would use: longest prefix match over one table of a machine."""

from collections.abc import Iterable

from .cluster import Address
from .route import Route


class Lookup:
    """An index of routes by prefix, for longest prefix match (RFC 1812, 5.2.4.3)."""

    def __init__(self, routes: Iterable[Route], table: str = "main") -> None:
        self._routes: dict[tuple[int, int, int], Route] = {}
        for route in routes:
            if route.table != table or route.tos != "0":
                continue
            prefix = route.prefix
            place = (prefix.version, prefix.prefixlen, int(prefix.network_address))
            held = self._routes.get(place)
            if held is None or route.metric < held.metric:
                self._routes[place] = route
        lengths = {(version, length) for version, length, _ in self._routes}
        self._lengths = {
            version: sorted((length for v, length in lengths if v == version), reverse=True)
            for version in (4, 6)
        }

    def route_to(self, address: Address) -> Route | None:
        """The route that packets to this address take, None if there is none."""
        bits = address.max_prefixlen
        value = int(address)
        for length in self._lengths[address.version]:
            network = value >> (bits - length) << (bits - length)
            route = self._routes.get((address.version, length, network))
            if route is not None:
                return route
        return None

    def link_to(self, address: Address) -> str | None:
        """The device on whose link this address is, None if it is not on a link."""
        route = self.route_to(address)
        if route is None or route.type != "unicast" or len(route.hops) != 1:
            return None
        return route.hops[0].dev if route.hops[0].via is None else None
