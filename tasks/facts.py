"""Facts: what one machine says of itself in one answer, which is parsed without trust."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from typing import Any

from .answer import sections
from .batch import DIVIDED, lasting
from .cluster import Address, Network
from .persistence import Manager, read_managers
from .route import OWN_PROTOCOL, Route, Unreadable, parse, parse_all

STATE = "/run/pod-routes"  # where a machine keeps the lock, the undo and the displaced routes
LOG = "/var/lib/pod-routes"  # where it keeps what is to outlive a reboot

_PACKAGES = {"ip": "iproute2", "ping": "iputils-ping", "flock": "util-linux"}

SHORTEST = 8  # no pod CIDR has a shorter prefix

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True)
class Rule:
    """A policy rule of ip-rule(8) that is looked up before the main table."""

    family: int  # IP version
    text: str
    source: Network | None  # None: from all
    destination: Network | None  # None: to all
    table: str  # empty where the rule ends the lookup (blackhole, unreachable, prohibit)


@dataclass(frozen=True)
class Claim:
    """Pod CIDRs that some place on the machine names."""

    place: str
    networks: tuple[Network, ...]


@dataclass(frozen=True)
class Displaced:
    """Foreign routes that this tool took away and keeps, of one prefix and protocol."""

    file: str  # "RUN FAMILY PREFIX PROTOCOL", joined by underscores, in STATE/displaced
    routes: tuple[Route, ...]

    @property
    def run(self) -> str:
        """The run that took them away; runs sort by time."""
        return self.file.partition("_")[0]


@dataclass(frozen=True)
class Pending:
    """A change that waits for confirmation."""

    run: str
    who: str
    since: str  # HH:MM:SS on the machine
    what: str
    seconds: int  # until it takes itself back; negative when it should have
    machines: tuple[str, ...] = ()  # all that its run changes
    failed: bool = False  # its undo did not lead back, or is at work

    @property
    def until(self) -> str:
        """When it takes itself back, by the operator's clock."""
        return (datetime.now() + timedelta(seconds=self.seconds)).strftime("%H:%M:%S")


@dataclass(frozen=True)
class Last:
    """What the last run that was kept has changed: what it put there, and ours that it took."""

    run: str
    puts: tuple[Route, ...] = ()
    takes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What one machine says of itself."""

    routes: tuple[Route, ...]
    rules: tuple[Rule, ...] = ()
    addresses: tuple[tuple[str, Interface], ...] = ()  # device, address with prefix length
    bridges: Mapping[str, int] = field(default_factory=dict)  # device, MTU in bytes
    claims: tuple[Claim, ...] = ()
    pod_bridge: str = "cni0"
    pod_mtu: int = 1500  # bytes
    masquerades: bool = False  # the CNI config's ipMasq
    reserved: frozenset[Address] = frozenset()  # host-local's store
    displaced: tuple[Displaced, ...] = ()
    client: Address | None = None  # where the operator's ssh comes from
    answering: frozenset[Address] = frozenset()  # unknown next hops that answered a ping
    missing: tuple[str, ...] = ()  # programs
    maker: str = ""  # of the machine, virtual or not, by its DMI
    pending: Pending | None = None
    last: Last | None = None
    kept: tuple[Route, ...] = ()  # ours, as they were when the last change was confirmed
    files: Mapping[str, str] = field(default_factory=dict)  # ours that bring routes back, by path
    managers: Mapping[str, Manager] = field(default_factory=dict)  # by device
    snapshot: str = ""  # all routes that this tool may touch, as `tasks/armed.py` compares them

    @cached_property
    def owned(self) -> tuple[Route, ...]:
        """The routes this tool put there."""
        return tuple(r for r in self.routes if r.owned and r.table == "main")

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The next hops of its default routes."""
        ways = (r for r in self.routes if r.prefix.prefixlen == 0 and r.table == "main")
        return tuple(hop.via for r in ways for hop in r.hops if hop.via is not None)

    @property
    def lifelines(self) -> tuple[Address, ...]:
        """What has to be reached as before, whatever is changed: the operator, and the gateways."""
        return (*((self.client,) if self.client else ()), *self.gateways)

    def packages_missing(self) -> tuple[str, ...]:
        """The packages to install, by their name in Debian and most others."""
        return tuple(dict.fromkeys(_PACKAGES.get(program, program) for program in self.missing))


def read(answer: str) -> Facts:
    """Read a machine's answer; raises ValueError where it is not what was asked for."""
    found = _told_apart(sections(answer))
    if ("answering", "") not in found:
        raise ValueError("the answer breaks off")
    routes: list[Route] = []
    rules: list[Rule] = []
    claims: list[Claim] = []
    displaced: dict[str, Displaced] = {}
    files: dict[str, str] = {}
    cni: list[dict[str, Any]] = []
    for (name, detail), lines in found.items():
        if name == "route":
            routes += parse_all(lines, int(detail))
        elif name == "rule":
            rules += _rules(lines, int(detail))
        elif name == "kubelet":
            claims += _kubelet(detail, lines)
        elif name == "displaced":
            file = detail.rpartition("/")[2].removesuffix(".text")
            displaced[file] = _displaced(file, lines)
        elif name == "file":
            files[detail] = "".join(f"{line[1:]}\n" for line in lines)
    for detail in sorted(detail for name, detail in found if name == "cni"):
        plugins = _plugins("".join(found["cni", detail]))
        networks = tuple(n for plugin in plugins for n in _subnets(plugin))
        if networks:  # the runtime uses the first file in name order
            claims.append(Claim(detail, networks))
            cni = plugins
            break
    bridge = next((p for p in cni if p.get("type") == "bridge"), {})
    addresses = tuple(_address(line) for line in found.get(("address", ""), []))
    indexes = {line.partition(":")[0]: _device(line) for line in found.get(("address", ""), [])}
    pod_bridge = str(bridge.get("bridge") or "cni0")
    on_bridge = tuple(
        a.network for dev, a in addresses if dev == pod_bridge and not a.is_link_local
    )
    if on_bridge:
        claims.append(Claim(f"the address of {pod_bridge}", on_bridge))
    bridges = dict(map(_bridge, found.get(("bridge", ""), [])))
    client = " ".join(found.get(("client", ""), [])).split()
    return Facts(
        routes=tuple(routes),
        rules=tuple(rules),
        addresses=addresses,
        bridges=bridges,
        claims=tuple(claims),
        pod_bridge=pod_bridge,
        pod_mtu=_mtu(bridge.get("mtu")) or bridges.get(pod_bridge, 0) or 1500,
        masquerades=bridge.get("ipMasq") is True,
        reserved=frozenset(_addresses(found.get(("reserved", ""), []))),
        displaced=tuple(displaced.values()),
        client=ip_address(client[0].partition("%")[0]) if client else None,
        answering=frozenset(_addresses(found.get(("answering", ""), []))),
        missing=tuple(found.get(("missing", ""), [])),
        maker=" ".join(found.get(("maker", ""), [])),
        pending=_pending(found.get(("pending", ""), [])),
        last=_last(found.get(("last", ""), [])),
        kept=_kept(found),
        files=files,
        managers=read_managers(
            indexes,
            found.get(("networkd", ""), []),
            found.get(("networkmanager", ""), []),
            found.get(("ifupdown", ""), []),
            systemd=bool(found.get(("systemd", ""))),
        ),
        snapshot=lasting([line for f in ("4", "6") for line in found.get(("ours", f), [])]),
    )


# How lines begin: a rule's "0:\tfrom all", a link's "3: cnio0: <", an address's "2: eth0  inet".
_RULE, _LINK, _ADDRESS = re.compile(r"\d+:\t"), re.compile(r"\d+: \S+ <"), re.compile(r"\d+: ")


def _told_apart(found: Mapping[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    """The answer's sections, with what one run of `ip -batch` shows in a section for each kind."""
    apart = {key: lines for key, lines in found.items() if key[0] != "ip"}
    for (name, family), lines in found.items():
        plain = "route"
        for line in lines if name == "ip" else ():
            key = (plain, family)
            if line[:1].isdigit():
                if line.startswith(DIVIDED):
                    plain = "ours"
                    continue
                if _RULE.match(line):
                    key = ("rule", family)
                elif _LINK.match(line):
                    key = ("bridge", "")
                elif _ADDRESS.match(line):
                    key = ("address", "")
            apart.setdefault(key, []).append(line)
    return apart


def _kept(found: Mapping[tuple[str, str], list[str]]) -> tuple[Route, ...]:
    """What the last confirmed run left; a record that cannot be read says nothing."""
    try:
        noted = [r for f in (4, 6) for r in parse_all(_with_protocol(found, f), f)]
        return tuple(r for r in noted if r.table == "main")
    except Unreadable:
        return ()


def _with_protocol(found: Mapping[tuple[str, str], list[str]], family: int) -> Iterator[str]:
    """Lines of routes of ours: `ip` leaves their protocol out where it was asked for it."""
    for line in found.get(("kept", str(family)), []):
        yield line if " proto " in line else f"{line} proto {OWN_PROTOCOL}"


def _displaced(file: str, lines: list[str]) -> Displaced:
    """The routes in a file of those taken away: its lines hold all of the same prefix."""
    _run, family, _prefix, protocol = file.split("_", 3)
    found = parse_all(lines, 6 if family == "6" else 4)
    return Displaced(file, tuple(r for r in found if r.table == "main" and r.protocol == protocol))


def _pending(lines: list[str]) -> Pending | None:
    if len(lines) < 2:
        return None  # it ended while it was asked for
    times, run, since, who, what, machines, *_ = [*lines, "", "", "", ""]
    place, _, seconds = times.partition(" ")
    return Pending(
        run, who, since, what, int(seconds), tuple(machines.split()), failed=place == "undoing"
    )


def _last(lines: list[str]) -> Last | None:
    """What `last_lines` wrote, under the name of its run."""
    if not lines:
        return None
    words = [line.partition(" ") for line in lines[1:]]
    routes = [
        (kind, parse(text, 6 if ":" in text.partition(" ")[0] else 4)) for kind, _, text in words
    ]
    return Last(
        lines[0],
        tuple(route for kind, route in routes if kind == "put"),
        tuple(route for kind, route in routes if kind == "took"),
    )


def last_lines(puts: Iterable[Route], takes: Iterable[Route]) -> list[str]:
    """What a machine remembers of a run, a line a route, for `rollback --last`."""
    return [*(f"put {r.words}" for r in puts), *(f"took {r.words}" for r in takes)]


def _rules(lines: list[str], family: int) -> list[Rule]:
    """The rules before `lookup main` that take whole prefixes; see ip-rule(8)."""
    rules = []
    for line in lines:
        words = line.partition(":")[2].split()
        values = dict(itertools.pairwise(words))
        table = values.get("lookup", "")
        if table == "main" and int(values.get("suppress_prefixlength", "-1")) < SHORTEST:
            break
        negated = "not" in words
        partial = {"fwmark", "uidrange", "ipproto", "sport", "dport", "oif"} & set(words)
        goes_on = {"goto", "nop"} & set(words) or table in ("local", "main")
        if (partial and not negated) or goes_on or table.startswith("["):
            continue
        rules.append(
            Rule(
                family,
                " ".join(line.split()).removesuffix(" proto unspec"),
                None if negated else _selector(values.get("from")),
                None if negated else _selector(values.get("to")),
                table,
            )
        )
    return rules


def _selector(word: str | None) -> Network | None:
    return None if word in (None, "all") else ip_network(word)


def _kubelet(file: str, lines: list[str]) -> list[Claim]:
    words = " ".join(line.partition("#")[0] for line in lines).replace(",", " ").split()
    named = [word.strip("\"'") for word in words]
    networks = [ip_network(word) for word in named if word not in ("", "null", "~")]
    return [Claim(file, tuple(networks))] if networks else []


def _plugins(text: str) -> list[dict[str, Any]]:
    """The plugins of a CNI network configuration or list (CNI spec 0.3.1 to 1.0)."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return []  # not ours to judge: the container runtime passes over it too
    if not isinstance(config, dict):
        return []
    plugins = config.get("plugins", [config])
    return [p for p in plugins if isinstance(p, dict)] if isinstance(plugins, list) else []


def _subnets(plugin: dict[str, Any]) -> list[Network]:
    """The subnets of a host-local ipam section, in its older and its newer form."""
    ipam = plugin.get("ipam")
    if not isinstance(ipam, dict) or ipam.get("type") != "host-local":
        return []
    sets = ipam.get("ranges")
    groups = [group for group in sets if isinstance(group, list)] if isinstance(sets, list) else []
    entries = [ipam, *(entry for group in groups for entry in group if isinstance(entry, dict))]
    subnets = []
    for subnet in (entry.get("subnet") for entry in entries):
        if isinstance(subnet, str):
            with suppress(ValueError):  # "usePodCidr" and the like stand for the kubelet's own
                subnets.append(ip_network(subnet, strict=False))
    return subnets


def _device(line: str) -> str:
    words = line.split()
    if len(words) < 2:
        raise ValueError(f"cannot read this line of `ip`: {line!r}")
    return words[1].rstrip(":").partition("@")[0]


def _bridge(line: str) -> tuple[str, int]:
    """One line of `ip -oneline link`: "3: cnio0: <BROADCAST,UP> mtu 1500 qdisc ..."."""
    mtu = re.search(r" mtu (\d+) ", line)
    return _device(line), int(mtu[1]) if mtu else 1500


def _mtu(value: object) -> int:
    """The mtu of a CNI config; 0 there means the kernel's own choice, and so does nonsense."""
    return value if isinstance(value, int) and 576 <= value <= 65536 else 0


def _address(line: str) -> tuple[str, Interface]:
    """One line of `ip -oneline address`: "2: eth0    inet 10.0.0.1/24 ..."."""
    words = line.split()
    if len(words) < 4 or words[2] not in ("inet", "inet6") or "%" in words[3]:
        raise ValueError(f"cannot read this line of `ip address`: {line!r}")
    return _device(line), ip_interface(words[3])


def _addresses(words: Iterable[str]) -> list[Address]:
    addresses = []
    for word in words:
        try:
            addresses.append(ip_address(word.strip()))
        except ValueError:
            continue  # host-local keeps its lock and last address there too
    return addresses
