"""Lists DigitalOcean's droplets with doctl.

`compute droplet list --output json` prints all pages as one array of the API's droplet objects
(https://docs.digitalocean.com/reference/api/digitalocean/#tag/Droplets).
"""

from collections.abc import Iterator

from pydantic import RootModel

from tasks.common.provider_cli import Answer, answer_of
from tasks.discovery.model import Found, Request, internal_ips, public_ips


class _Address(Answer):
    ip_address: str = ""
    type: str = ""


class _Networks(Answer):
    v4: list[_Address] | None = None
    v6: list[_Address] | None = None


class _Droplet(Answer):
    name: str = ""
    networks: _Networks | None = None
    tags: list[str] | None = None


class _Droplets(RootModel[list[_Droplet] | None]):
    """Go prints an empty list as null, unless its code takes care."""


def machines(request: Request) -> Iterator[Found]:
    """Every droplet of the account. Raises Stop if doctl fails."""
    droplets = answer_of(
        request.c,
        ["doctl", "compute", "droplet", "list", "--output", "json"],
        _Droplets,
        key="DIGITALOCEAN_ACCESS_TOKEN",
        missing="see https://docs.digitalocean.com/reference/doctl/how-to/install/",
    )
    for droplet in droplets.root or []:
        networks = droplet.networks or _Networks()
        addresses = [*(networks.v4 or []), *(networks.v6 or [])]
        public = [a.ip_address for a in addresses if a.type == "public"]
        private = [a.ip_address for a in addresses if a.type == "private"]
        yield Found(
            droplet.name,
            "doctl",
            (*public_ips("doctl", *public), *internal_ips("doctl", *private)),
            member=False,
            tags=tuple(droplet.tags or ()),
            provider="digitalocean",
        )
