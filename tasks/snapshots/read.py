"""Reads a machine's answer to ask.sh as a value."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic import ValidationError

from tasks.common import values
from tasks.common.script import script
from tasks.iproute.printed import neighbour_words, route_words, rule_words
from tasks.ssh.answer import sections
from tasks.undo.records import STATE

from .gap import EVERY, Gap, few, of_route, of_rule
from .model import (
    CNI,
    FAMILIES,
    KUBELET,
    MAX_ROUTES,
    MAX_RULES,
    RECORDS,
    SETTINGS,
    File,
    Firewall,
    Link,
    LinkAddress,
    State,
    Tables,
)

MOST = 1_500_000  # bytes of one section: all together stay below the limit of an answer
QUESTION = script(
    "snapshots/ask.sh",
    most=MOST,
    settings=SETTINGS,
    kubelet=KUBELET,
    cni=CNI,
    records=RECORDS,
    state=STATE,
)

COMPLETE = "complete"
MAX_MISSING = 99
# What a CNI configuration says about the network (its keys, and those of the plugins bridge,
# flannel, host-local). Any other key may hold a secret, and is left out.
_CNI_KEYS = frozenset(
    "cniVersion name type bridge mtu ipMasq isGateway isDefaultGateway hairpinMode plugins"
    " delegate delegates ipam ranges subnet rangeStart rangeEnd gateway routes dst gw".split()
)
_FIREWALLS = ("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy", "nft")

Sections = Mapping[tuple[str, str], list[str]]


def read_state(answer: str) -> State:
    """What a machine holds, by its answer to QUESTION.

    Raises ValueError where the answer breaks off or makes no sense.
    """
    try:
        return _read(answer)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = values.shown(".".join(map(str, wrong["loc"])))
        raise ValueError(f"{place}: {values.shown(wrong['msg'])}") from None


def _read(answer: str) -> State:
    found = sections(answer)
    if ("end", "") not in found:
        raise ValueError("the answer breaks off")
    missing: list[Gap] = []

    def listed(
        name: str, detail: str = "", called: str = "", prefix: str = "", packets: bool = True
    ) -> list[str]:
        """The lines of a section. It is missing where its last line is."""
        lines = [line.removeprefix("|") for line in found.get((name, detail), [])]
        if lines[-1:] == [COMPLETE]:
            return lines[:-2] if lines[-2:-1] == [""] else lines[:-1]
        missing.append(Gap(f"{called}: not read in full", prefix, packets=packets))
        return lines[:-1]

    def read(
        lines: Iterable[str],
        parse: Callable[[str], object],
        most: int,
        gap: Callable[[str, str], Gap] = lambda _, words: Gap(words),
    ) -> tuple[str, ...]:
        """The lines that a parser takes. Those that it refuses are missing: `gap` makes each."""
        taken = []
        for line in lines:
            try:
                parse(line)
                taken.append(line)
            except ValueError as error:
                missing.append(gap(line, str(error)))
        if len(taken) > most:
            words = f"{len(taken) - most} lines such as {values.quoted(taken[-1])}"
            missing.append(gap("", words))
        return tuple(taken[:most])

    tables = {
        f: Tables(
            routes=read(
                _whole(listed("route", str(f), f"IPv{f} routes", EVERY[f])),
                route_words,
                MAX_ROUTES,
                partial(of_route, f),
            ),
            rules=read(
                listed("rule", str(f), f"IPv{f} policy rules", EVERY[f]),
                rule_words,
                MAX_RULES,
                partial(of_rule, f),
            ),
        )
        for f in FAMILIES
    }
    links = listed("link", "", "links")
    if missing and missing[-1].words.startswith("links"):
        raise ValueError("its links cannot be read in full")
    client, server, port = _connection(found.get(("client", ""), []))
    firewalls = [
        Firewall(p, _counterless(p, listed("firewall", p, p)))  # type: ignore[arg-type]
        for p in _FIREWALLS
        if ("firewall", p) in found
    ]
    files = []
    for path in [path for name, path in found if name == "file"]:
        with suppress(ValueError):
            files.append(File(path, _file(path, listed("file", path, path, packets=False))))
            continue
        missing.append(Gap(f"the file {values.quoted(path)}", packets=False))
    if ("armed", "") in found:
        missing.append(Gap("a change of this tool that waits to be confirmed", packets=False))
    return State(
        links=tuple(read_links("\n".join(links))),
        ipv4=tables[4],
        ipv6=tables[6],
        sysctls=dict(_sysctls(listed("sysctl", "", "settings"))),
        neighbours=read(
            listed("neighbour", "", "permanent neighbours"), neighbour_words, MAX_RULES
        ),
        firewalls=tuple(firewalls),
        files=tuple(files),
        reserved=tuple(_addresses(found.get(("reserved", ""), []))),
        maker=tuple(found.get(("maker", ""), []))[:3],
        kernel=" ".join(found.get(("kernel", ""), [])),
        client=client,
        server=server,
        port=port,
        missing=few(missing, MAX_MISSING),
    )


def _whole(lines: Sequence[str]) -> Iterator[str]:
    """The routes, a line each. iproute2 6.1 prints next hop objects on indented second lines."""
    return (line.strip() for line in lines if not line[:1].isspace())


def _connection(lines: Sequence[str]) -> tuple[str, str, int]:
    """The operator's address, the machine's and its port, by SSH_CONNECTION (ssh(1))."""
    words = " ".join(lines).split()
    with suppress(ValueError, IndexError):
        ends = [str(values.address(words[at].partition("%")[0])) for at in (0, 2)]
        return ends[0], ends[1], values.number(words[3], 1, 65535)
    return "", "", 22


def read_links(text: str) -> Iterator[Link]:
    """The links of `ip -json -details address show`. Raises ValueError where it is no such text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its links are no JSON") from None
    if not isinstance(found, list):
        raise ValueError("its links are no list")
    for link in found:
        if isinstance(link, dict) and link:  # iproute2 prints an empty one where it filters
            yield _link(link)


def _link(said: Mapping[str, Any]) -> Link:
    flags = said.get("flags")
    flags = flags if isinstance(flags, list) else []
    info = said.get("linkinfo")
    kind = info.get("info_kind", "") if isinstance(info, dict) else ""
    addresses = said.get("addr_info")
    mac = said.get("address", "")
    elsewhere = "link_netnsid" in said
    return Link(
        index=said.get("ifindex", 0),
        name=said.get("ifname", ""),
        mtu=said.get("mtu", 0),
        kind=kind,
        mac=mac if said.get("link_type") == "ether" else "",
        up="UP" in flags,
        carrier="NO-CARRIER" not in flags,
        master=said.get("master", ""),
        peer=said.get("link", "") if kind == "veth" and not elsewhere else "",
        addresses=tuple(
            _link_address(a)
            for a in (addresses if isinstance(addresses, list) else [])
            if isinstance(a, dict) and a.get("family") in ("inet", "inet6")
        ),
    )


def _link_address(said: Mapping[str, Any]) -> LinkAddress:
    scope = said.get("scope", "global")
    return LinkAddress(
        local=f"{said.get('local')}/{said.get('prefixlen')}",
        peer=said.get("address", ""),
        broadcast=said.get("broadcast", ""),
        label=said.get("label", "") if said.get("family") == "inet" else "",
        scope=scope,
        noprefixroute=said.get("noprefixroute") is True,
        metric=said.get("metric", 0),
    )


def _sysctls(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Lines of `grep -H .`: "ipv4/conf/eth0/rp_filter:2"."""
    for line in lines:
        name, _, value = line.rpartition(":")
        yield name, value


def _addresses(lines: Sequence[str]) -> Iterator[str]:
    """The names that are addresses: host-local's store also holds a lock and its last address."""
    for line in lines:
        with suppress(ValueError):
            yield str(values.address(line.strip()))


def _counterless(program: str, lines: Sequence[str]) -> str:
    """A listing without counters, comments and times that run."""
    if program != "nft":
        kept = (line for line in lines if not line.startswith("#"))
        return "\n".join(re.sub(r" \[\d+:\d+\]$", " [0:0]", line) for line in kept)
    kept = (line for line in lines if not line.lstrip().startswith("#"))
    return "\n".join(re.sub(r" expires [0-9a-z]+", "", line) for line in kept)


def _file(path: str, lines: Sequence[str]) -> str:
    """The text of a file, without what may be secret."""
    text = "".join(f"{line}\n" for line in lines)
    return _network_only(text) if path.startswith(CNI) else text


def _network_only(text: str) -> str:
    """A CNI configuration with only the keys that say something about the network."""

    def kept(value: object) -> object:
        if isinstance(value, dict):
            return {k: kept(v) for k, v in value.items() if k in _CNI_KEYS}
        return [kept(v) for v in value] if isinstance(value, list) else value

    try:
        return json.dumps(kept(json.loads(text)), indent=1) + "\n"
    except (ValueError, RecursionError):
        return ""
