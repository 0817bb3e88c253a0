"""Reads a machine's answer to gather.sh. The answer is not trusted: each value is checked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from tasks.bgp.bird import read_bird
from tasks.bgp.bird_conf import METRIC
from tasks.common.values import (
    Address,
    Interface,
    address,
    device,
    interface,
    number,
    quoted,
    shown,
)
from tasks.iproute.batch import without_volatile
from tasks.iproute.names import protocol_number
from tasks.iproute.route import OWN_PROTOCOL, Route, Unreadable, parse_all
from tasks.iproute.rule import Rule, read_rules
from tasks.persistence.backends import is_ours
from tasks.persistence.managers import Manager, read_managers
from tasks.ssh.answer import sections
from tasks.undo.records import (
    RUNS,
    Displaced,
    is_displaced,
    read_displaced,
    read_last,
    read_pending,
)
from tasks.undo.run import is_run

from .model import Facts
from .pod_bridge import Known, pod_bridge
from .pod_cidrs import Claim, read_cni, read_kubelet

MAX_MTU = 1 << 20  # bytes; that of lo is 65536
DEFAULT_MTU = 1500  # bytes
NOTHING_KNOWN = Known()

_BY_BGP = re.compile(rf" proto {protocol_number('bird')} .* metric {METRIC}( |$)")

Sections = Mapping[str, Mapping[str, list[str]]]  # lines, by the section's name and by its detail


def read(answer: str, of: Known = NOTHING_KNOWN) -> Facts:
    """The facts in a machine's answer. `of`: what hosts.toml says about the machine's pods.

    Raises ValueError where the answer breaks off or makes no sense.
    """
    found = _by_name(answer)
    if "" not in found.get("answering", {}):
        raise ValueError("the answer breaks off")
    cni = read_cni({file: _without_bars(lines) for file, lines in _each(found, "cni")})
    addresses = _interfaces(found)
    routes = _routes(found)
    bridges = dict(map(_bridge, _lines(found, "bridge")))
    configured = (*_kubelet_claims(found), *cni.claims)
    pod_cidrs = of.pod_cidrs or [n for claim in configured for n in claim.networks]
    bridge = pod_bridge(cni.bridge, pod_cidrs, bridges, addresses, routes, of)
    return Facts(
        routes=routes,
        rules=_rules(found),
        addresses=addresses,
        bridges=bridges,
        claims=(*configured, *_bridge_claims(bridge, addresses)),
        pod_bridge=bridge,
        pod_mtu=cni.mtu or bridges.get(bridge, 0) or DEFAULT_MTU,
        masquerades=cni.masquerades,
        reserved=frozenset(_addresses(_lines(found, "reserved"))),
        displaced=_displaced(found),
        client=_client(found),
        answering=frozenset(_addresses(_lines(found, "answering"))),
        missing=_missing(found),
        bird=read_bird(found.get("bird", {})),
        maker=shown(" ".join(_lines(found, "maker"))),
        pending=read_pending(_lines(found, "pending")),
        last=read_last(_lines(found, "last")),
        runs=_runs(found),
        recorded=_recorded(found),
        files=_files(found),
        managers=_managers(found),
        snapshot=_snapshot(found),
    )


def _by_name(answer: str) -> Sections:
    found: dict[str, dict[str, list[str]]] = {}
    for (name, detail), lines in sections(answer).items():
        found.setdefault(name, {})[detail] = lines
    return found


def _each(found: Sections, name: str) -> Iterable[tuple[str, list[str]]]:
    """The sections of a name: detail and lines of each."""
    return found.get(name, {}).items()


def _lines(found: Sections, name: str, detail: str = "") -> list[str]:
    """The lines of one section, none where it is absent."""
    return found.get(name, {}).get(detail, [])


def _family(detail: str) -> int:
    """The IP version that a section is about."""
    if detail not in ("4", "6"):
        raise ValueError(f"no address family: {quoted(detail)}")
    return int(detail)


def _routes(found: Sections) -> tuple[Route, ...]:
    return tuple(
        route
        for detail, lines in _each(found, "route")
        for route in parse_all(lines, _family(detail))
    )


def _rules(found: Sections) -> tuple[Rule, ...]:
    return tuple(
        rule
        for detail, lines in _each(found, "rule")
        for rule in read_rules(lines, _family(detail))
    )


def _interfaces(found: Sections) -> tuple[tuple[str, Interface], ...]:
    return tuple(map(_interface, _lines(found, "address")))


def _kubelet_claims(found: Sections) -> Iterator[Claim]:
    for file, lines in _each(found, "kubelet"):
        yield from read_kubelet(file, lines)


def _bridge_claims(bridge: str, addresses: Iterable[tuple[str, Interface]]) -> Iterator[Claim]:
    """The pod CIDRs that the addresses of the pods' bridge imply."""
    networks = tuple(a.network for dev, a in addresses if dev == bridge and not a.is_link_local)
    if networks:
        yield Claim(f"the address of {bridge}", networks)


def _displaced(found: Sections) -> tuple[Displaced, ...]:
    """The displaced routes of each file; a file of another name is not this tool's."""
    files = {
        path.rpartition("/")[2].removesuffix(".text"): lines
        for path, lines in _each(found, "displaced")
    }
    return tuple(read_displaced(file, lines) for file, lines in files.items() if is_displaced(file))


def _runs(found: Sections) -> tuple[tuple[str, ...], ...]:
    """The latest runs of which the machine keeps the order; a line that names none is left out."""
    runs = [tuple(detail.split()) for detail, _ in _each(found, "run")]
    return tuple(run for run in runs if run and all(map(is_run, run)))[-RUNS:]


def _files(found: Sections) -> dict[str, str]:
    """The text of each file of this tool that brings routes back, by path."""
    return {
        path: "".join(f"{line[1:]}\n" for line in lines)
        for path, lines in _each(found, "file")
        if is_ours(path)
    }


def _without_bars(lines: list[str]) -> str:
    """The text of a file whose lines were sent behind bars."""
    return "\n".join(line.removeprefix("|") for line in lines)


def _managers(found: Sections) -> Mapping[str, Manager]:
    """The network manager of each device."""
    devices = {line.partition(":")[0]: _device(line) for line in _lines(found, "address")}
    return read_managers(
        devices,
        _lines(found, "networkd"),
        _lines(found, "networkmanager"),
        _lines(found, "ifupdown"),
        systemd=bool(_lines(found, "systemd")),
    )


def _snapshot(found: Sections) -> str:
    """All routes that this tool may touch, as readback.sh shows them."""
    lines = [*_lines(found, "ours", "4"), *_lines(found, "ours", "6")]
    return "".join(f"{without_volatile(line)}\n" for line in lines if not _BY_BGP.search(line))


def _recorded(found: Sections) -> tuple[Route, ...]:
    """The routes on record since the last confirmed change; none where one cannot be read."""
    try:
        routes = [r for f in (4, 6) for r in parse_all(_with_protocol(found, f), f)]
        return tuple(r for r in routes if r.table == "main")
    except Unreadable:
        return ()


def _with_protocol(found: Sections, family: int) -> Iterator[str]:
    """The recorded lines. `ip` omits the protocol that it was asked for: it is added again."""
    for line in _lines(found, "kept", str(family)):
        yield line if " proto " in line else f"{line} proto {OWN_PROTOCOL}"


def _missing(found: Sections) -> tuple[str, ...]:
    """The missing programs, with what was said first of each."""
    said: dict[str, str] = {}
    for line in map(shown, _lines(found, "missing")):
        said.setdefault(line.partition(" ")[0], line)
    return tuple(said.values())


def _device(line: str) -> str:
    """The device in a line such as "3: cnio0@if2: <..." or "2: eth0    inet ..." of `ip`."""
    words = line.split(maxsplit=2)
    if len(words) < 2:
        raise ValueError(f"cannot read this line of `ip`: {quoted(line)}")
    return device(words[1].rstrip(":").partition("@")[0])


def _bridge(line: str) -> tuple[str, int]:
    """Device and MTU in bytes in a line of `ip link`: "3: cnio0: <BROADCAST,UP> mtu 1500 ..."."""
    mtu = re.search(r" mtu ([0-9]+) ", line)
    return _device(line), number(mtu[1], most=MAX_MTU) if mtu else DEFAULT_MTU


def _interface(line: str) -> tuple[str, Interface]:
    """Device and address in a line of `ip address`: "2: eth0    inet 10.0.0.1/24 ..."."""
    words = line.split(maxsplit=4)
    if len(words) < 4 or words[2] not in ("inet", "inet6"):
        raise ValueError(f"cannot read this line of `ip address`: {quoted(line)}")
    return _device(line), interface(words[3])


def _addresses(words: Iterable[str]) -> Iterator[Address]:
    """The words that are addresses. Host-local's store also holds a lock and its last address."""
    for word in words:
        with suppress(ValueError):
            yield address(word.strip())


def _client(found: Sections) -> Address | None:
    """The operator's address by SSH_CONNECTION (ssh(1)); None where sshd says UNKNOWN."""
    words = " ".join(_lines(found, "client")).split()
    with suppress(ValueError):
        return address(words[0].partition("%")[0]) if words else None
    return None
