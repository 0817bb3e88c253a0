"""What a rule of a firewall asks of a packet. Pure.

A rule is judged with three values: it matches, it does not, or nobody here can say.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from tasks.common import values

# By number, and by the name in protocols(5) that nft has another name for.
_PROTOCOLS = {
    "1": "icmp",
    "6": "tcp",
    "17": "udp",
    "58": "icmpv6",
    "132": "sctp",
    "ipv6-icmp": "icmpv6",
}
_TYPES = {"8": "echo-request", "0": "echo-reply", "128": "echo-request", "129": "echo-reply"}
# An address or a port that is equal only to itself. A number below 256 may be a protocol.
_PLAIN = re.compile(r"[\da-f]*[.:][\da-f.:]*|\d{3,5}|tcp|udp|sctp|icmp|icmpv6")


class Element(NamedTuple):
    """An element of a set or a map."""

    key: tuple[str, ...]  # a part for each part of a packet that it is compared with
    verdict: str = ""  # in a map: what becomes of the packet
    chain: str = ""  # where that leads to


@dataclass(frozen=True)
class Packet:
    """A packet that a machine has to let through."""

    facts: Mapping[str, str | None]  # by the names in rules.py; "": it has none, None: not known
    hooks: frozenset[str]  # of IP that it passes


@dataclass(frozen=True)
class Match:
    """One thing that a rule asks: whether parts of a packet are among some elements."""

    parts: tuple[str, ...]
    elements: tuple[Element, ...]
    named: str = ""  # the set that holds the elements
    negated: bool = False


@dataclass(frozen=True)
class Condition:
    """What a rule asks, and what it does."""

    matches: tuple[Match, ...] = ()
    known: bool = True  # False: it asks more, which is not known here
    verdict: str = ""  # of nft: accept, drop, jump, ...; empty for none
    chain: str = ""  # where it jumps or goes to
    table: Match | None = None  # the map that has its verdict

    @property
    def sets(self) -> Iterable[str]:
        """The named sets and maps that it asks."""
        asked = (*self.matches, *([self.table] if self.table else ()))
        return (match.named for match in asked if match.named)

    @property
    def drops(self) -> bool:
        """Whether it drops the packets that match, or has a program decide."""
        return self.verdict in ("drop", "reject", "queue")


class Elements:
    """The elements of a set. Those without ranges are looked up, because there may be many."""

    def __init__(self, elements: Iterable[Element]) -> None:
        """Sort the elements into those that are equal to one key, and the rest."""
        self._exact: dict[tuple[str, ...], Element] = {}
        self._rest: list[Element] = []
        for element in elements:
            if all(map(_PLAIN.fullmatch, element.key)):
                self._exact[element.key] = element
            else:
                self._rest.append(element)

    def near(self, key: tuple[str | None, ...]) -> Iterator[Element]:
        """The elements that a key may be in; None in it is not known."""
        if not key or None in key:
            yield from self._exact.values()
        elif found := self._exact.get(tuple(map(str, key))):
            yield found
        yield from self._rest

    def __len__(self) -> int:
        """How many elements have to be compared one by one."""
        return len(self._rest)


def holds(rule: Condition, packet: Packet, sets: Mapping[str, Elements]) -> bool | None:
    """Whether a rule matches a packet; None where nobody can say."""
    result: bool | None = True if rule.known else None
    for match in rule.matches:
        found = _matches(match, packet, sets)
        if found is False:
            return False
        result = result if found else None
    return result


def outcomes(
    match: Match, packet: Packet, sets: Mapping[str, Elements]
) -> Iterator[tuple[bool, str, str]]:
    """The verdicts that a map may have for a packet: whether it surely has it, verdict, chain."""
    elements = _elements(match, packet, sets)
    if elements is None:
        yield False, "drop", ""
        return
    for element, verdict, chain in elements:
        found = _equal(match.parts, element, packet)
        if found is not False:
            yield found is True, verdict, chain


def _elements(
    match: Match, packet: Packet, sets: Mapping[str, Elements]
) -> Iterable[Element] | None:
    """The elements that a packet may be among; None where the set was not listed."""
    if not match.named:
        return match.elements
    key = tuple(packet.facts.get(part) for part in match.parts)
    return sets[match.named].near(key) if match.named in sets else None


def _matches(match: Match, packet: Packet, sets: Mapping[str, Elements]) -> bool | None:
    elements = _elements(match, packet, sets)
    if elements is None:
        return None
    result: bool | None = False
    for element, _, _ in elements:
        found = _equal(match.parts, element, packet)
        if found:
            result = True
            break
        result = None if found is None else result
    absent = any(packet.facts.get(part) == "" for part in match.parts)
    return result if not match.negated or result is None or absent else not result


def _equal(parts: Sequence[str], element: Sequence[str], packet: Packet) -> bool | None:
    """Whether the parts of a packet are those of an element."""
    if len(parts) != len(element):
        return None
    result: bool | None = True
    for part, value in zip(parts, element, strict=True):
        found = _same(part, packet.facts.get(part), value)
        if found is False:
            return False
        result = result if found else None
    return result


def _same(part: str, have: str | None, value: str) -> bool | None:
    """Whether a part of a packet, which is `have`, is this value or inside this range."""
    if not have:
        return None if have is None else False
    plain = value.strip('"')
    if part in ("source", "target"):
        return _within(address_range(have), address_range(value))
    if part in ("dport", "sport"):
        return _within(_ports(have), _ports(value))
    if part in ("iif", "oif") and plain.endswith("*"):
        return have.startswith(plain[:-1])
    names = _PROTOCOLS if part == "protocol" else _TYPES if part == "type" else {}
    return value == "*" or have == names.get(plain, plain)


_Range = tuple[int, int, int]  # IP version or 0, first, last


def _within(one: _Range | None, other: _Range | None) -> bool | None:
    """Whether a range is inside another; None where one cannot be read."""
    if one is None or other is None:
        return None
    return one[0] == other[0] and other[1] <= one[1] and one[2] <= other[2]


def _ports(text: str) -> _Range | None:
    """The bounds of a port or a range of ports; None: not readable, such as a name."""
    low, _, high = text.partition("-")
    try:
        return 0, values.number(low), values.number(high or low)
    except ValueError:
        return (0, 0, 1 << 16) if text == "*" else None


@lru_cache(maxsize=1 << 16)
def address_range(text: str) -> _Range | None:
    """The version and the bounds of an address, a prefix or a range; None: not readable."""
    low, _, high = text.partition("-")
    try:
        first, last = values.network(low), values.network(high or low)
    except ValueError:
        return None
    return first.version, int(first.network_address), int(last.broadcast_address)
