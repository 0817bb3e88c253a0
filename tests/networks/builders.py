"""Small factories for providers' tables, and a provider that is only a table in memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from tasks.common.errors import Stop
from tasks.networks.memory import Memory
from tasks.networks.model import Key, Member, Table, TableRoute
from tasks.networks.state import NetworkState

NAME = "kubernetes (hetzner)"


def key(line: str) -> Key:
    """What a route is remembered by, from its line."""
    destination, _, gateway = line.partition(" via ")
    return ip_network(destination), ip_address(gateway)


def table_route(line: str) -> TableRoute:
    """A route of a table from its line, such as `10.200.0.0/24 via 10.240.0.6`."""
    return TableRoute(*key(line))


def table(
    *lines: str, servers: int = 3, limit: int = 100, exclusive: bool = True, checks: bool = False
) -> Table:
    """A table with these routes, in a network of the tutorial's workers."""
    return Table(
        id="7",
        ranges=(ip_network("10.240.0.0/16"),),
        subnets=(ip_network("10.240.0.0/24"),),
        gateway=ip_address("10.240.0.1"),
        routes=tuple(map(table_route, lines)),
        members=tuple(
            Member(ip_address("10.240.0.6") + n, str(n), f"worker-{n}", checks)
            for n in range(servers)
        ),
        limit=limit,
        exclusive=exclusive,
        destinations=(ip_network("10.0.0.0/8"),),
    )


def state(
    now: Table,
    ours: Iterable[str] = (),
    unfinished: Iterable[str] = (),
    displaced: Iterable[str] = (),
    atomic: bool = False,
) -> NetworkState:
    """A network with this table, of which these routes are remembered."""
    added, left, away = (frozenset(map(key, lines)) for lines in (ours, unfinished, displaced))
    return NetworkState(NAME, now, Memory("7", added, left, away), atomic)


class Killed(BaseException):
    """The operator's process is gone."""


@dataclass
class InMemory:
    """A provider with a table in memory. `fault` is called before each change, with its number."""

    now: Table
    atomic: bool = False
    fault: Callable[[int], None] = lambda _number: None
    log: list[str] = field(default_factory=list)

    def read(self) -> Table:
        return self.now

    def _change(self, words: str, routes: Iterable[TableRoute]) -> None:
        self.fault(len(self.log))
        self.log.append(words)
        self.now = replace(self.now, routes=tuple(routes))

    def add(self, _table: Table, route: TableRoute) -> None:
        if self.now.in_the_way(route.destination) and self.now.exclusive:
            raise Stop("overlaps")
        self._change(f"add {route}", (*self.now.routes, route))

    def remove(self, _table: Table, route: TableRoute) -> None:
        if route not in self.now.routes:
            raise Stop("not found")
        self._change(f"remove {route}", (r for r in self.now.routes if r != route))

    def replace(self, table_: Table, old: TableRoute, new: TableRoute) -> None:
        if not self.atomic:
            self.remove(table_, old)
            self.add(table_, new)
            return
        others = (r for r in self.now.routes if r != old)
        self._change(f"replace {old} by {new}", (*others, new))

    def by_hand(
        self, _table: Table, _take: Sequence[TableRoute], _put: TableRoute
    ) -> tuple[str, ...]:
        return ()

    def unchecked_by_hand(self, _member: Member) -> tuple[str, ...]:
        return ()

    def check_sources(self, member: Member, on: bool) -> None:
        self.fault(len(self.log))
        self.log.append(f"check {member.name} {on}")
        members = (
            replace(m, source_check=on) if m.id == member.id else m for m in self.now.members
        )
        self.now = replace(self.now, members=tuple(members))
