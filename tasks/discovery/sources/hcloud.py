"""Lists Hetzner Cloud's servers with hcloud.

`server list -o json` prints all pages as one array of the API's server objects
(https://docs.hetzner.cloud/reference/cloud#servers). Each label becomes two tags: KEY and
KEY=VALUE. A server's public IPv6 is given as a network; the server has its first address. Its
private networks are given by ID, so `network list` is asked for their names.
"""

import re
from collections.abc import Iterator, Mapping

from invoke import Context
from pydantic import RootModel

from tasks.common.provider_cli import Answer, answer_of
from tasks.common.values import interface
from tasks.discovery.model import Attached, Found, Request, internal_ips, public_ips
from tasks.inventory.model import ProviderNetwork
from tasks.inventory.tables import NETWORK_NAME


class _Address(Answer):
    ip: str | None = ""


class _Public(Answer):
    ipv4: _Address | None = None
    ipv6: _Address | None = None


class _Private(_Address):
    network: int = 0


class _Server(Answer):
    name: str = ""
    public_net: _Public | None = None
    private_net: list[_Private] | None = None
    labels: dict[str, str] | None = None


class _Servers(RootModel[list[_Server] | None]):
    """Go prints an empty list as null, unless its code takes care."""


class _Network(Answer):
    id: int
    name: str


class _Networks(RootModel[list[_Network] | None]):
    pass


def machines(request: Request) -> Iterator[Found]:
    """Every server in the project of hcloud's context or token. Raises Stop if hcloud fails."""
    servers = answer_of(
        request.c,
        ["hcloud", "server", "list", "-o", "json"],
        _Servers,
        key="HCLOUD_TOKEN",
        missing="apt-get install hcloud-cli",
    )
    private = any(server.private_net for server in servers.root or [])
    networks = _networks(request.c) if private else {}
    for server in servers.root or []:
        public = server.public_net or _Public()
        four, six = (_given(address) for address in (public.ipv4, public.ipv6))
        labels = server.labels or {}
        yield Found(
            server.name,
            "hcloud",
            (
                *public_ips("hcloud", four, _first(six) if six else None),
                *internal_ips("hcloud", *map(_given, server.private_net or [])),
            ),
            member=False,
            tags=(*labels, *(f"{key}={value}" for key, value in labels.items())),
            provider="hetzner-cloud",
            networks={
                own.text: networks[link.network]
                for link in server.private_net or []
                if link.network in networks
                for own in internal_ips("hcloud", _given(link))
            },
        )


def _networks(c: Context) -> Mapping[int, Attached]:
    """The project's networks by ID. One whose name hosts.toml cannot hold is named by its ID."""
    found = answer_of(
        c,
        ["hcloud", "network", "list", "-o", "json"],
        _Networks,
        key="HCLOUD_TOKEN",
        missing="apt-get install hcloud-cli",
    )
    networks = {}
    for one in found.root or []:
        id_ = str(one.id)
        name = one.name if re.fullmatch(NETWORK_NAME, one.name) else id_
        networks[one.id] = Attached(ProviderNetwork("hetzner", name), id_)
    return networks


def _given(address: _Address | None) -> str | None:
    """The text of an address, or None. Older versions of hcloud print Go's <nil> for none."""
    return None if address is None or address.ip == "<nil>" else address.ip


def _first(text: str) -> str:
    """The server's address in its IPv6 network: the one given, or the first after the network's."""
    address = interface(text).ip
    return str(address if int(address) % (1 << 64) else address + 1)
