"""A snapshot: a cluster, and what each of its machines holds of links, routes, rules and firewalls.

The form of the file and of what a machine says is the same, and nothing of either is trusted. Each
value is checked where it becomes one: the annotations below refuse what no machine can hold.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from tasks.common import values
from tasks.inventory.model import Cluster, Machine, Persist, Role
from tasks.iproute.printed import neighbour_words, route_words, rule_words
from tasks.undo.records import LOG, STATE

from .gap import Gap

FORMAT = "pod-routes snapshot"
VERSION = 1
MAX_LINKS = 4096  # of a machine
MAX_ROUTES = 20_000  # of a machine and IP version
MAX_RULES = 4096
MAX_SYSCTLS = 100_000
MAX_FILES = 1000
MAX_TEXT = 2_000_000  # characters of one listing of a firewall
MAX_FILE = 1 << 16  # characters of a file
MAX_MTU = (1 << 31) - 1  # bytes
MAX_INDEX = (1 << 31) - 1
MAX_MACHINES = 10_000
FAMILIES = (4, 6)

# The settings below /proc/sys/net that decide what becomes of packets, as patterns of sh. A device
# is "all", "default" or a link.
SETTINGS = (
    "ipv4/ip_forward",
    "ipv4/icmp_echo_ignore_all",
    "ipv4/fib_multipath_hash_policy",
    *(
        f"ipv4/conf/*/{name}"
        for name in (
            *("forwarding", "rp_filter", "accept_local", "accept_redirects", "send_redirects"),
            *("accept_source_route", "route_localnet", "src_valid_mark", "proxy_arp"),
            *("arp_ignore", "arp_announce", "arp_filter", "ignore_routes_with_linkdown"),
        )
    ),
    *(
        f"ipv6/conf/*/{name}"
        for name in (
            *("disable_ipv6", "forwarding", "accept_redirects", "accept_source_route"),
            *("ignore_routes_with_linkdown", "proxy_ndp"),
        )
    ),
    *(f"bridge/bridge-nf-call-{name}tables" for name in ("ip", "ip6", "arp")),
)
KUBELET = ("/var/lib/kubelet/kubelet-config.yaml", "/var/lib/kubelet/config.yaml")
CNI = "/etc/cni/net.d"
RECORDS = (  # of this tool, as patterns of sh; the files with the ending .save are in base64
    *(f"{STATE}/last/{name}" for name in ("run", "machines", "changes")),
    *(f"{place}/displaced/*.{ending}" for place in (STATE, LOG) for ending in ("text", "save")),
    *(f"{LOG}/{name}" for name in ("owned", "runs")),
)

_FILE_NAME = r"[A-Za-z0-9._:-]{1,200}"
_SETTING = re.compile(
    "|".join(re.escape(name).replace(r"\*", r"[^/\s]{1,15}") for name in SETTINGS)
)
_PLACES = re.compile(
    "|".join(
        [
            *map(re.escape, KUBELET),
            rf"{re.escape(CNI)}/{_FILE_NAME}\.(conf|conflist|json)",
            *(re.escape(name).replace(r"\*", _FILE_NAME) for name in RECORDS),
        ]
    )
)
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def _as(parse: Callable[[str], object]) -> AfterValidator:
    """The text as it is, if a parser takes it."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _line(parse: Callable[[str], object]) -> AfterValidator:
    """A line of `ip` as it is, if a parser takes it and it cannot control a terminal."""

    def check(text: str) -> object:
        if values.lines(text) != [text]:
            raise ValueError(f"not a line of printable characters: {values.quoted(text)}")
        return parse(text)

    return _as(check)


def _or_empty(parse: Callable[[str], object]) -> AfterValidator:
    return _as(lambda text: parse(text) if text else text)


def _matches(pattern: "re.Pattern[str]", what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text) or ".." in text.split("/"):
            raise ValueError(f"not {what}: {values.quoted(text)}")
        return text

    return AfterValidator(check)


def _listing(text: str) -> str:
    """A listing of several lines, without characters that control a terminal."""
    if "\n".join(values.lines(text)) != text:
        raise ValueError("unprintable characters in a listing")
    return text


def _content(text: str) -> str:
    if any(not (c.isprintable() or c in "\n\t") for c in text):
        raise ValueError("unprintable characters in a file")
    return text


Word = Annotated[str, AfterValidator(values.word)]
Shown = Annotated[str, AfterValidator(values.shown)]
Device = Annotated[str, AfterValidator(values.device)]
Label = Annotated[str, _or_empty(lambda text: values.device(text.replace(":", "", 1)))]
DeviceOrNone = Annotated[str, _or_empty(values.device)]
Mac = Annotated[str, _matches(_MAC, "a hardware address")]
Address = Annotated[str, _as(values.address)]
AddressOrNone = Annotated[str, _or_empty(values.address)]
Interface = Annotated[str, _as(values.interface)]
Network = Annotated[str, _as(values.prefix)]
Listing = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_listing)]
RouteLine = Annotated[str, _line(route_words)]
RuleLine = Annotated[str, _line(rule_words)]
NeighbourLine = Annotated[str, _line(neighbour_words)]
Setting = Annotated[str, _matches(_SETTING, "a setting that decides about packets")]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class LinkAddress:
    """An address of a link, with its prefix length (ip-address(8))."""

    local: Interface
    peer: AddressOrNone = ""
    broadcast: AddressOrNone = ""
    label: Label = ""
    scope: Literal["global", "site", "link", "host"] = "global"
    noprefixroute: bool = False
    metric: Annotated[int, Field(ge=0, lt=1 << 32)] = 0


@dataclass(frozen=True, config=_STRICT)
class Link:
    """A network interface (ip-link(8)).

    `kind`: empty for hardware. `carrier`: of a link that is up, whether something is at its other
    end. `peer`: of a veth, its other end on this machine; empty where that is elsewhere.
    """

    index: Annotated[int, Field(ge=1, le=MAX_INDEX)]
    name: Device
    mtu: Annotated[int, Field(ge=0, le=MAX_MTU)]
    kind: Annotated[str, _or_empty(values.word)] = ""
    mac: Annotated[str, _or_empty(TypeAdapter(Mac).validate_python)] = ""
    up: bool = True
    carrier: bool = True
    master: DeviceOrNone = ""
    peer: DeviceOrNone = ""
    addresses: Annotated[tuple[LinkAddress, ...], Field(max_length=MAX_RULES)] = ()


@dataclass(frozen=True, config=_STRICT)
class Tables:
    """The routes and policy rules of one IP version, as `ip -N -details -oneline` prints them."""

    routes: Annotated[tuple[RouteLine, ...], Field(max_length=MAX_ROUTES)] = ()
    rules: Annotated[tuple[RuleLine, ...], Field(max_length=MAX_RULES)] = ()


@dataclass(frozen=True, config=_STRICT)
class Firewall:
    """What a firewall program lists, without counters.

    `program`: nft, or iptables and ip6tables with the backend: "iptables-legacy".
    """

    program: Literal["nft", "iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"]
    listing: Listing


@dataclass(frozen=True, config=_STRICT)
class File:
    """A file of kubelet, of CNI, or a record of this tool. One that ends in .save is in base64."""

    path: Annotated[str, _matches(_PLACES, "the path of a file that is copied")]
    text: Annotated[str, Field(max_length=MAX_FILE), AfterValidator(_content)]

    def __post_init__(self) -> None:
        """Raise ValueError where a file in base64 is none."""
        self.content  # noqa: B018

    @property
    def content(self) -> bytes:
        """What is in the file."""
        coded = self.path.endswith(".save")
        coded_text = "".join(self.text.split())
        return base64.b64decode(coded_text, validate=True) if coded else self.text.encode()


@dataclass(frozen=True, config=_STRICT)
class State:
    """What one machine holds. `missing`: what was not read of it, or only in part."""

    links: Annotated[tuple[Link, ...], Field(max_length=MAX_LINKS)]
    ipv4: Tables
    ipv6: Tables
    sysctls: Annotated[dict[Setting, Word], Field(max_length=MAX_SYSCTLS)]
    neighbours: Annotated[tuple[NeighbourLine, ...], Field(max_length=MAX_RULES)] = ()
    firewalls: Annotated[tuple[Firewall, ...], Field(max_length=5)] = ()
    files: Annotated[tuple[File, ...], Field(max_length=MAX_FILES)] = ()
    reserved: Annotated[tuple[Address, ...], Field(max_length=MAX_LINKS)] = ()
    maker: Annotated[tuple[Shown, ...], Field(max_length=3)] = ()
    kernel: Shown = ""
    client: AddressOrNone = ""  # where the operator's ssh comes from
    server: AddressOrNone = ""  # the machine's own address that it goes to
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    missing: Annotated[tuple[Gap, ...], Field(max_length=100)] = ()

    def tables(self, family: int) -> Tables:
        """The routes and rules of IP version 4 or 6."""
        return self.ipv4 if family == 4 else self.ipv6


@dataclass(frozen=True, config=_STRICT)
class Member:
    """A machine as hosts.toml describes it, and what it holds."""

    name: Annotated[str, AfterValidator(values.name)]
    role: Role
    public_ip: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,254}$")]
    state: State
    internal_ips: Annotated[tuple[Address, ...], Field(max_length=2)] = ()
    pod_cidrs: Annotated[tuple[Network, ...], Field(max_length=2)] = ()


@dataclass(frozen=True, config=_STRICT)
class Snapshot:
    """A cluster, and what its machines held when it was taken."""

    format: Literal["pod-routes snapshot"]
    version: Literal[1]
    taken: Shown  # the time, as RFC 3339 has it
    pod_networks: Annotated[tuple[Network, ...], Field(min_length=1, max_length=100)]
    machines: Annotated[tuple[Member, ...], Field(min_length=1, max_length=MAX_MACHINES)]
    node_networks: Annotated[tuple[Network, ...], Field(max_length=100)] = ()
    persist: Persist = "none"
    anonymous: bool = False


def cluster_of(snapshot: Snapshot, path: Any) -> Cluster:
    """The cluster of a snapshot, as if hosts.toml at this path described it."""
    return Cluster(
        path=path,
        pod_networks=tuple(map(values.prefix, snapshot.pod_networks)),
        node_networks=tuple(map(values.prefix, snapshot.node_networks)),
        persist=snapshot.persist,
        machines=tuple(
            Machine(
                name=m.name,
                role=m.role,
                public_ip=m.public_ip,
                internal_ips=tuple(map(values.address, m.internal_ips)),
                pod_cidrs=tuple(map(values.prefix, m.pod_cidrs)),
            )
            for m in snapshot.machines
        ),
    )


def schema() -> str:
    """The JSON schema of the file."""
    return json.dumps(TypeAdapter(Snapshot).json_schema(), indent=2) + "\n"
