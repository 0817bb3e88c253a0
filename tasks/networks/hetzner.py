"""Hetzner Cloud's networks, by hcloud (https://docs.hetzner.cloud/reference/cloud#networks).

hcloud polls each change until it has ended. One change of a network runs at a time; another one
meanwhile is answered with `locked` or `conflict`.
"""

import re
import shlex
from collections.abc import Iterator, Sequence

from pydantic import RootModel

from tasks.common.errors import Stop
from tasks.common.provider_cli import Answer
from tasks.common.values import address, network, shown

from .calls import Calls, Program
from .model import Member, Table, TableRoute

LIMIT = 100  # routes of one network, by the API's documentation
RFC1918 = tuple(map(network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))

HCLOUD = Program(
    name="hcloud",
    key="HCLOUD_TOKEN",
    missing="apt-get install hcloud-cli",
    busy=re.compile(
        r"\((locked|conflict|rate_limit_exceeded|resource_unavailable|unavailable|timeout)\b"
        r"|\bEOF\b|connection reset|i/o timeout"
    ),
    troubles=(
        (
            "no active context or token",
            "make a key in the project's Security tab, and give it to `hcloud context create`, or"
            " set HCLOUD_TOKEN",
        ),
        (
            r"\(unauthorized\b",
            "the key is wrong, or was deleted: `hcloud context list` names the active one",
        ),
        (
            r"\((forbidden|token_readonly)\b",
            "the key may only read: make one that may read and write",
        ),
        (
            "network not found",
            "`hcloud network list` shows those of the key's project; correct name in [network]",
        ),
        (
            "invalid gateway|gateway not part",
            "the API knows no server of the network with this address: `hcloud server"
            " attach-to-network` attaches one",
        ),
        ("overlaps", "another route or a subnet has this destination, or a part of it"),
        (
            r"\(resource_limit_exceeded\b|limit (reached|exceeded)",
            f"a network holds {LIMIT} routes: take away what nobody needs",
        ),
        (r"\(rate_limit_exceeded\b", "the key has used up its requests: wait some minutes"),
        (r"\((locked|conflict)\b", "another change of this network does not end: try again later"),
        (r"^action \d+ failed|: action \d+ failed", "the API took the change, and then failed"),
        (
            "unknown (flag|shorthand flag|command)",
            "this hcloud is too old: 1.30 or newer is needed",
        ),
        (
            "dial tcp|connection refused|no such host|i/o timeout|TLS|x509|EOF",
            "the API cannot be reached from here",
        ),
        (
            "invalid character",
            "the API answers no JSON: a proxy may be between, or it has trouble itself",
        ),
    ),
)


class _Route(Answer):
    destination: str
    gateway: str


class _Subnet(Answer):
    ip_range: str


class _Network(Answer):
    id: int
    ip_range: str
    subnets: list[_Subnet] | None = None
    routes: list[_Route] | None = None


class _Private(Answer):
    network: int
    ip: str
    alias_ips: list[str] | None = None


class _Server(Answer):
    id: int
    name: str
    private_net: list[_Private] | None = None


class _Servers(RootModel[list[_Server] | None]):
    """Go prints an empty list as null."""


class Hetzner:
    """One network of a Hetzner Cloud project."""

    atomic = False  # a gateway cannot be exchanged: its route is deleted, and added again

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def read(self) -> Table:
        """The network with its routes and servers: two commands; the second asks page by page."""
        found = self._calls.ask(_Network, "network", "describe", self._name, "-o", "json")
        servers = self._calls.ask(_Servers, "server", "list", "-o", "json")
        try:
            return _table(found, servers)
        except ValueError as error:
            raise Stop(f"network {self._name}: hcloud's answer cannot be read: {error}") from None

    def add(self, table: Table, route: TableRoute) -> None:
        """Add a route."""
        self._calls.run("network", "add-route", table.id, *_flags(route))

    def remove(self, table: Table, route: TableRoute) -> None:
        """Delete a route."""
        self._calls.run("network", "remove-route", table.id, *_flags(route))

    def replace(self, table: Table, old: TableRoute, new: TableRoute) -> None:
        """Delete a route, and at once add the one that takes its place."""
        self.remove(table, old)
        self.add(table, new)

    def by_hand(self, table: Table, take: Sequence[TableRoute], put: TableRoute) -> tuple[str, ...]:
        """The commands with which a person adds a route, and first deletes those in its way."""
        words = [("remove-route", route) for route in take] + [("add-route", put)]
        return tuple(
            shlex.join(("hcloud", "network", verb, self._name, *_flags(route)))
            for verb, route in words
        )

    def unchecked_by_hand(self, member: Member) -> tuple[str, ...]:
        """Nothing: a route is enough."""
        return ()

    def check_sources(self, member: Member, on: bool) -> None:
        """Not here: no server's check can be switched off, and `Member.source_check` is False."""
        raise NotImplementedError


def _flags(route: TableRoute) -> tuple[str, ...]:
    return "--destination", str(route.destination), "--gateway", str(route.gateway)


def _table(found: _Network, servers: _Servers) -> Table:
    whole = network(found.ip_range)
    return Table(
        id=str(found.id),
        ranges=(whole,),
        subnets=tuple(network(subnet.ip_range) for subnet in found.subnets or ()),
        gateway=whole.network_address + 1,
        routes=tuple(
            TableRoute(network(route.destination), address(route.gateway))
            for route in found.routes or ()
        ),
        members=tuple(_members(found.id, servers)),
        limit=LIMIT,
        exclusive=True,
        destinations=RFC1918,
    )


def _members(id_: int, servers: _Servers) -> Iterator[Member]:
    for server in servers.root or ():
        for private in server.private_net or ():
            if private.network == id_:
                for text in (private.ip, *(private.alias_ips or ())):
                    yield Member(address(text), str(server.id), shown(server.name))
