"""What a source says of a machine, read without trust in it.

A source is a module in sources/ with one function, `machines(request)`, that yields a Found
for each machine it knows of. Its name there is its name on the command line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from invoke import Context

from tasks.common import values
from tasks.common.values import Address, Network
from tasks.inventory.model import Role

if TYPE_CHECKING:
    from tasks.ssh.fleet import Fleet

Field = Literal["public_ip", "internal_ip", "pod_cidr"]


@dataclass(frozen=True)
class Request:
    """What a source may use; each takes what concerns it."""

    c: Context  # to run programs with
    context: str = ""  # kubectl's, empty for its current one
    file: Path = Path("machines.txt")
    fleet: "Callable[[], Fleet] | None" = None  # the machines that are known so far, connected
    skip_unreachable: bool = False


@dataclass(frozen=True)
class Value:
    """One value that a source names; `family` is the IP version, 0 for a public IP.

    Several of one field and family are alternatives. Of public IPs the first is preferred and
    the others are right too.
    """

    field: Field
    family: int
    text: str
    place: str  # where the source has it from, as a table can show it
    network: Network | None = None  # of an address: the one on its link, where that is known


@dataclass(frozen=True)
class Found:
    """One machine as a source has it."""

    name: str
    source: str
    values: tuple[Value, ...] = ()
    role: Role | None = None  # None: the source does not know
    member: bool = True  # of the cluster for sure; False: of an account that may hold others
    tags: tuple[str, ...] = ()
    provider: str = ""  # whose network it is on, by its name in providers
    notes: tuple[str, ...] = ()  # what a person should know of it
    trouble: str = ""  # why it could not be asked


def public_ips(source: str, *texts: str | None) -> list[Value]:
    """The public IPs among some texts, IPv4 first; what stands for none ("", 0.0.0.0) left out.

    Raises ValueError where a text is no address.
    """
    addresses = _addresses(texts)
    known = sorted((a for a in addresses if not a.is_unspecified), key=lambda a: a.version)
    return [Value("public_ip", 0, str(address), source) for address in dict.fromkeys(known)]


def internal_ips(source: str, *texts: str | None) -> list[Value]:
    """The internal IPs among some texts, as `public_ips`; link-local ones are left out too."""
    addresses = _addresses(texts)
    known = [a for a in addresses if not (a.is_unspecified or a.is_link_local or a.is_loopback)]
    return [Value("internal_ip", a.version, str(a), source) for a in dict.fromkeys(known)]


def _addresses(texts: Iterable[str | None]) -> list[Address]:
    return [values.address(text) for text in texts if text]


def pod_cidrs(source: str, *texts: str | None) -> list[Value]:
    """The pod CIDRs among some texts, host bits cleared; raises ValueError where one is none."""
    networks = [values.network(text) for text in texts if text]
    return [Value("pod_cidr", n.version, str(n), source) for n in dict.fromkeys(networks)]
