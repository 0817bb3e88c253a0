"""Hetzner Cloud's servers, by hcloud.

`server list -o json` prints an array of the API's own servers, all pages of it
(https://docs.hetzner.cloud/reference/cloud#servers). Its labels are the tags here, as KEY and as
KEY=VALUE. A server's public IPv6 is a network of which it has the first address.
"""

from collections.abc import Iterator
from ipaddress import ip_interface

from ..found import Found, Request, internal_ips, public_ips
from ..program import Answer, answer_of


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
        first = _first(public.ipv6.ip) if public.ipv6 else None
        private = [net.ip for net in server.private_net or []]
        labels = server.labels or {}
        yield Found(
            server.name,
            "hcloud",
            (
                *public_ips("hcloud", public.ipv4.ip if public.ipv4 else None, first),
                *internal_ips("hcloud", *private),
            ),
            member=False,
            tags=(*labels, *(f"{key}={value}" for key, value in labels.items())),
            provider="hetzner-cloud",
        )


def _first(text: str | None) -> str | None:
    """The address that a server has of its IPv6 network."""
    if not text or text.startswith("<"):  # Go prints <nil> for none
        return None
    interface = ip_interface(text)
    return str(interface.network[1]) if interface.network.num_addresses > 1 else str(interface.ip)
