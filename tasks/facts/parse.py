"""Facts: what one machine says of itself in one answer, which is parsed without trust."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

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
from tasks.iproute.batch import DIVIDED, lasting
from tasks.iproute.route import OWN_PROTOCOL, Route, Unreadable, parse_all
from tasks.iproute.rule import Rule, read_rules
from tasks.persistence.backends import is_ours
from tasks.persistence.managers import read_managers
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
from .pod_cidrs import Claim, read_cni, read_kubelet

MAX_MTU = 1 << 20  # bytes; that of lo is 65536


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
    configs: dict[str, str] = {}
    runs: list[tuple[str, ...]] = []
    for (name, detail), lines in found.items():
        if name == "route":
            routes += parse_all(lines, _family(detail))
        elif name == "rule":
            rules += read_rules(lines, _family(detail))
        elif name == "kubelet":
            claims += read_kubelet(detail, lines)
        elif name == "cni":
            configs[detail] = "\n".join(line.removeprefix("|") for line in lines)
        elif name == "displaced":
            file = detail.rpartition("/")[2].removesuffix(".text")
            if is_displaced(file):
                displaced[file] = read_displaced(file, lines)  # else another hand's
        elif name == "file" and is_ours(detail):
            files[detail] = "".join(f"{line[1:]}\n" for line in lines)
        elif name == "run":
            words = tuple(detail.split())
            runs += [words] if words and all(map(is_run, words)) else []
    cni = read_cni(configs)
    claims += cni.claims
    addresses = tuple(_address(line) for line in found.get(("address", ""), []))
    indexes = {line.partition(":")[0]: _device(line) for line in found.get(("address", ""), [])}
    on_bridge = tuple(
        a.network for dev, a in addresses if dev == cni.bridge and not a.is_link_local
    )
    if on_bridge:
        claims.append(Claim(f"the address of {cni.bridge}", on_bridge))
    bridges = dict(map(_bridge, found.get(("bridge", ""), [])))
    return Facts(
        routes=tuple(routes),
        rules=tuple(rules),
        addresses=addresses,
        bridges=bridges,
        claims=tuple(claims),
        pod_bridge=cni.bridge,
        pod_mtu=cni.mtu or bridges.get(cni.bridge, 0) or 1500,
        masquerades=cni.masquerades,
        reserved=frozenset(_addresses(found.get(("reserved", ""), []))),
        displaced=tuple(displaced.values()),
        client=_client(found.get(("client", ""), [])),
        answering=frozenset(_addresses(found.get(("answering", ""), []))),
        missing=_missing(found.get(("missing", ""), [])),
        maker=shown(" ".join(found.get(("maker", ""), []))),
        pending=read_pending(found.get(("pending", ""), [])),
        last=read_last(found.get(("last", ""), [])),
        runs=tuple(runs[-RUNS:]),
        kept=_kept(found),
        files=files,
        managers=read_managers(
            indexes,
            found.get(("networkd", ""), []),
            found.get(("networkmanager", ""), []),
            found.get(("ifupdown", ""), []),
            systemd=bool(found.get(("systemd", ""))),
        ),
        snapshot="".join(
            f"{lasting(line)}\n" for f in ("4", "6") for line in found.get(("ours", f), [])
        ),
    )


def _family(detail: str) -> int:
    """The IP version that a section is about."""
    if detail not in ("4", "6"):
        raise ValueError(f"no address family: {quoted(detail)}")
    return int(detail)


# How lines begin: a rule's "0:\tfrom all", a link's "3: cnio0: <", an address's "2: eth0  inet".
_RULE, _LINK, _ADDRESS = re.compile(r"\d+:\t"), re.compile(r"\d+: \S+ <"), re.compile(r"\d+: ")


# What parts a run of `ip` shows of routes, by the families it was asked for: kind and family.
_PARTS = {
    "4": (("route", "4"), ("ours", "4")),
    "6": (("route", "6"), ("ours", "6")),
    "4 6": (("route", "4"), ("route", "6"), ("ours", "4")),
}


def _told_apart(found: Mapping[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    """The answer's sections, with what one run of `ip -batch` shows in a section for each kind."""
    apart = {key: lines for key, lines in found.items() if key[0] != "ip"}
    for families, parts in _PARTS.items():
        part, *rest = parts
        for line in found.get(("ip", families), ()):
            key = part
            if line[:1].isdigit():
                if line.startswith(DIVIDED):
                    part = rest.pop(0) if rest else part
                    continue
                if _RULE.match(line):
                    key = ("rule", part[1])
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


def _missing(lines: list[str]) -> tuple[str, ...]:
    """What was said first of each program that is missing."""
    said: dict[str, str] = {}
    for line in map(shown, lines):
        said.setdefault(line.partition(" ")[0], line)
    return tuple(said.values())


def _device(line: str) -> str:
    words = line.split(maxsplit=2)
    if len(words) < 2:
        raise ValueError(f"cannot read this line of `ip`: {quoted(line)}")
    return device(words[1].rstrip(":").partition("@")[0])


def _bridge(line: str) -> tuple[str, int]:
    """One line of `ip -oneline link`: "3: cnio0: <BROADCAST,UP> mtu 1500 qdisc ..."."""
    mtu = re.search(r" mtu ([0-9]+) ", line)
    return _device(line), number(mtu[1], most=MAX_MTU) if mtu else 1500


def _address(line: str) -> tuple[str, Interface]:
    """One line of `ip -oneline address`: "2: eth0    inet 10.0.0.1/24 ..."."""
    words = line.split(maxsplit=4)
    if len(words) < 4 or words[2] not in ("inet", "inet6"):
        raise ValueError(f"cannot read this line of `ip address`: {quoted(line)}")
    return _device(line), interface(words[3])


def _addresses(words: Iterable[str]) -> Iterator[Address]:
    """Those of the words that are one: host-local keeps its lock and last address there too."""
    for word in words:
        with suppress(ValueError):
            yield address(word.strip())


def _client(lines: list[str]) -> Address | None:
    """Where SSH_CONNECTION says that the operator is (ssh(1)); sshd has UNKNOWN behind a socket."""
    words = " ".join(lines).split()
    with suppress(ValueError):
        return address(words[0].partition("%")[0]) if words else None
    return None
