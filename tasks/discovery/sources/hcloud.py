"""Hetzner Cloud's servers, by hcloud.

`server list -o json` prints an array of the API's own servers, all pages of it
(https://docs.hetzner.cloud/reference/cloud#servers). Its labels are the tags here, as KEY and as
KEY=VALUE. A server's public IPv6 is a network of which it has the first address.
"""

from collections.abc import Iterator

from tasks.common.values import interface
from tasks.discovery.model import Found, Request, internal_ips, public_ips
from tasks.discovery.provider_cli import Answer, answer_of


class _Address(Answer):
    ip: str | None = ""


class _Public(Answer):
    ipv4: _Address | None = None
    ipv6: _Address | None = None


class _Server(Answer):
    name: str = ""
    public_net: _Public | None = None
    private_net: list[_Address] | None = None
    labels: dict[str, str] | None = None


def machines(request: Request) -> Iterator[Found]:
    """Every server of the project that hcloud's context or token is for."""
    servers = answer_of(
        request.c,
        ["hcloud", "server", "list", "-o", "json"],
        list[_Server],
        key="HCLOUD_TOKEN",
        missing="apt-get install hcloud-cli",
    )
    for server in servers:
        public = server.public_net or _Public()
        four, six = (_given(address) for address in (public.ipv4, public.ipv6))
        private = [_given(address) for address in server.private_net or []]
        labels = server.labels or {}
        yield Found(
            server.name,
            "hcloud",
            (
                *public_ips("hcloud", four, _first(six) if six else None),
                *internal_ips("hcloud", *private),
            ),
            member=False,
            tags=(*labels, *(f"{key}={value}" for key, value in labels.items())),
            provider="hetzner-cloud",
        )


def _given(address: _Address | None) -> str | None:
    """An address's text; older hcloud prints Go's <nil> where there is none."""
    return None if address is None or address.ip == "<nil>" else address.ip


def _first(text: str) -> str:
    """The address that a server has of its IPv6 network, a /64 that is printed with or without."""
    address = interface(text).ip
    return str(address if int(address) % (1 << 64) else address + 1)
