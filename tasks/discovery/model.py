"""The data that sources give about machines. It is untrusted, so it is parsed here.

A source is a module in sources/ with one function, `machines(request)`, that yields a Found for
each machine. The name of the module is the name of the source on the command line.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from invoke import Context

from tasks.common import values
from tasks.common.values import Address, Network
from tasks.inventory.model import ProviderNetwork, Role

if TYPE_CHECKING:
    from tasks.ssh.fleet import Fleet

Field = Literal["public_ip", "internal_ip", "pod_cidr"]


@dataclass(frozen=True)
class Request:
    """The input of every source. Each source uses only the fields that it needs."""

    c: Context  # configuration, such as the timeout of a command
    context: str = ""  # kubectl's context; empty for its current one
    file: Path = Path("machines.txt")
    fleet: "Callable[[], Fleet] | None" = None  # connects to the machines known so far
    skip_unreachable: bool = False


@dataclass(frozen=True)
class Value:
    """One value that a source gives. `family` is the IP version, or 0 for a public IP.

    Several values of one field and family are alternatives. For public IPs all alternatives are
    valid, and the first is preferred.
    """

    field: Field
    family: int
    text: str
    place: str  # where the source found it, for a table
    network: Network | None = None  # the network of an address on its link; None if unknown
    sure: bool = True  # False: a guess that is taken only if a person confirms it


@dataclass(frozen=True)
class Attached:
    """What an internal IP is attached to: a network that routes by a table, and a link there.

    `id`: another name of the network for its API. `link`: a part of the network in which machines
    are neighbours; empty: in this network none are.
    """

    network: ProviderNetwork
    id: str = ""
    link: str = ""


@dataclass(frozen=True)
class Found:
    """One machine as one source describes it."""

    name: str
    source: str
    values: tuple[Value, ...] = ()
    role: Role | None = None  # None: the source does not know
    member: bool = True  # True: surely in the cluster. False: the account may hold other machines
    tags: tuple[str, ...] = ()
    provider: str = ""  # the cloud provider of its network, by its name in facts/providers.py
    networks: Mapping[str, Attached] | None = None  # by internal IP; None: the source cannot know
    notes: tuple[str, ...] = ()  # for the operator
    trouble: str = ""  # why it could not be reached; empty if it was


def public_ips(source: str, *texts: str | None) -> list[Value]:
    """The public IPs in some texts, IPv4 first. Texts without an address ("", 0.0.0.0) are skipped.

    Raises ValueError for any other text that is not an address.
    """
    addresses = _addresses(texts)
    known = sorted((a for a in addresses if not a.is_unspecified), key=lambda a: a.version)
    return [Value("public_ip", 0, str(address), source) for address in dict.fromkeys(known)]


def internal_ips(source: str, *texts: str | None) -> list[Value]:
    """The internal IPs in some texts, as `public_ips`, but in the order given.

    Link-local and loopback addresses are skipped too.
    """
    addresses = _addresses(texts)
    known = [a for a in addresses if not (a.is_unspecified or a.is_link_local or a.is_loopback)]
    return [Value("internal_ip", a.version, str(a), source) for a in dict.fromkeys(known)]


def _addresses(texts: Iterable[str | None]) -> list[Address]:
    return [values.address(text) for text in texts if text]


def pod_cidrs(source: str, *texts: str | None) -> list[Value]:
    """The pod CIDRs in some texts, with host bits cleared. Raises ValueError for an invalid text.

    Empty texts are skipped.
    """
    networks = [values.network(text) for text in texts if text]
    return [Value("pod_cidr", n.version, str(n), source) for n in dict.fromkeys(networks)]
