"""Trials: what one pair's ends saw while it was pinged alone, read from what trials.sh printed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tasks.common import values
from tasks.common.values import Address
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts

from .firewall import counters, read_firewall

SIZES = (1492, 1480, 1460, 1450, 1430, 1420, 1400, 1380, 1280)  # bytes: what tunnels leave

# How ping(8) words an ICMP error: "From 10.240.0.7 icmp_seq=1 Packet filtered".
_FROM = r"From (\S{2,45}?):? icmp_seq=\d{1,5} "
_REFUSED = r"(?:Packet filtered|Destination \w{1,9} Prohibited|Destination Port Unreachable)"
_ANSWERED = re.compile(r"\b[1-9]\d{0,2} received")

# What the kernel knows of a neighbour: ip-neighbour(8).
_STATES = "PERMANENT NOARP REACHABLE STALE NONE INCOMPLETE DELAY PROBE FAILED".split()

Answer = Mapping[tuple[str, str], list[str]]


@dataclass(frozen=True)
class End:
    """What one end of a trial saw."""

    requests: int  # how many requests its probe received
    dropped: Mapping[str, int]  # packets that rules of its firewall dropped meanwhile, by rule
    neighbour: str  # state of the other machine in its neighbour table: REACHABLE, FAILED, ...
    filtered: bool  # whether reverse-path filtering dropped packets meanwhile


@dataclass(frozen=True)
class Trial:
    """One pair, pinged alone."""

    pair: Pair
    answered: bool
    reached: bool  # whether the target's machine answered the ping with the short TTL
    refused_by: str  # the machine that sent an ICMP refusal, as a firewall does; else empty
    source: End
    target: End
    tcp: int = 0  # the port that connections were made to instead of pings; 0: pings


@dataclass(frozen=True)
class Trials:
    """The results of all trials. What a machine did not report is missing."""

    trials: tuple[Trial, ...] = ()
    largest: Mapping[Pair, int] = field(default_factory=dict)  # packets answered, in bytes


def read_trials(
    tried: Sequence[Pair],
    large: Sequence[Pair],
    answers: Mapping[str, Answer],
    facts: Mapping[str, Facts],
    tcp: int = 0,
) -> Trials:
    """Read what the scripts printed. A trial whose ends did not both report is left out."""
    trials = []
    for number, pair in enumerate(tried):
        if pair.source in answers and pair.target in answers:
            with suppress(ValueError):
                trials.append(_trial(number, pair, answers, facts, tcp))
    largest = {
        pair: _largest(answers.get(pair.source, {}), number) for number, pair in enumerate(large)
    }
    return Trials(tuple(trials), largest)


def _trial(
    number: int,
    pair: Pair,
    answers: Mapping[str, Answer],
    facts: Mapping[str, Facts],
    tcp: int,
) -> Trial:
    """One trial. Raises ValueError where an end's answer cannot be read."""
    said = answers[pair.source]
    ping = said.get(("ping", str(number)), [])
    hop = said.get(("hop", str(number)), [])
    return Trial(
        pair,
        answered=any(map(_ANSWERED.search, ping)),
        reached=not _addresses(facts[pair.target]).isdisjoint(_senders(_FROM, hop)),
        refused_by=_owner(_senders(_FROM + _REFUSED, ping), pair, facts),
        source=_end(said, number, pair.family, tcp),
        target=_end(answers[pair.target], number, pair.family, tcp),
        tcp=tcp,
    )


def _senders(pattern: str, lines: Iterable[str]) -> set[Address]:
    """The senders of the ICMP errors that match a pattern, without link-local addresses."""
    found = set()
    for line in lines:
        for text in re.findall(pattern, line):
            with suppress(ValueError):
                found.add(values.address(text))
    return found


def _addresses(facts: Facts) -> set[Address]:
    """All addresses of a machine."""
    return {interface.ip for _, interface in facts.addresses}


def _owner(addresses: set[Address], pair: Pair, facts: Mapping[str, Facts]) -> str:
    """The end of a pair that has one of these addresses; empty for none."""
    ends = (pair.source, pair.target)
    return next((name for name in ends if addresses & _addresses(facts[name])), "")


def _end(said: Answer, number: int, family: int, tcp: int) -> End:
    """What one end saw, from the difference of its counters."""

    def of(name: str) -> list[str]:
        return said.get((name, str(number)), [])

    before = counters(read_firewall(of("before-firewall"), family))
    after = counters(read_firewall(of("after-firewall"), family))
    rises = {rule: count - before[rule] for rule, count in after.items() if rule in before}
    state = " ".join(of("neighbour")).split()
    return End(
        requests=_requests(of("after"), family, tcp) - _requests(of("before"), family, tcp),
        dropped={rule: rise for rule, rise in rises.items() if rise > 0},
        neighbour=state[-1] if state and state[-1] in _STATES else "",
        filtered=_filtered(of("after")) > _filtered(of("before")),
    )


def _requests(lines: Sequence[str], family: int, tcp: int) -> int:
    """How many requests a probe has received: /proc/net/snmp, or snmp6 for ICMPv6 (proc_net(5))."""
    if tcp:
        return _counter(lines, "Tcp:", "InSegs")
    if family == 4:
        return _counter(lines, "Icmp:", "InEchos")
    found = [line.split()[1:2] for line in lines if line.startswith("Icmp6InEchos")]
    return _count(*found[0]) if found else 0


def _filtered(lines: Sequence[str]) -> int:
    """How many packets reverse-path filtering has dropped (/proc/net/netstat)."""
    return _counter(lines, "TcpExt:", "IPReversePathFilter")


def _counter(lines: Sequence[str], group: str, name: str) -> int:
    """A counter in the format of /proc/net/snmp (proc_net(5)); 0 where it is missing.

    A group has two lines that start with its name: the first names the counters, the second has
    their values.
    """
    rows = [line.split() for line in lines if line.startswith(group)]
    names, counters = [*rows, [], []][:2]
    found = [value for key, value in zip(names, counters, strict=False) if key == name]
    return _count(found[0]) if found else 0


def _count(digits: str = "") -> int:
    """The value of a counter; 0 where the kernel cannot have printed it."""
    try:
        return values.number(digits)
    except ValueError:
        return 0


def _largest(said: Answer, number: int) -> int:
    """The largest of SIZES that was answered, in bytes; 0 if none."""
    return max((size for size in SIZES if ("size", f"{number} {size}") in said), default=0)
