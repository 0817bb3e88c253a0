"""Trials: failing pairs pinged again, one at a time at each machine, with both ends watched.

While many pairs ping at once, no counter tells whose packet it counted. So a machine takes part
in one trial at a time: both ends count, the source pings, both ends count again. Beside the pings
goes one that may pass only the source's own machine: the target's has to answer that itself, as
traceroute(8) has it, which shows whether packets come so far.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tasks.common import values
from tasks.common.script import Script
from tasks.common.values import Address
from tasks.connectivity.mesh import heard
from tasks.connectivity.ping import COUNT
from tasks.connectivity.probe import READY, Probe, probe_script, probes
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.facts.survey import Survey
from tasks.inventory.model import Machine
from tasks.ssh.fleet import Fleet, Step

from .firewall import Drop, read_drops

AT, SENT = "== at ", "== sent "  # a trial is about to begin, its pings have ended
ROUNDS = 6  # at most so many trials one after the other, a second and a half each
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

    requests: int  # that came to its probe
    drops: tuple[Drop, ...]  # the places in its firewall that dropped packets meanwhile
    neighbour: str  # what it knows of the other machine on the link: REACHABLE, FAILED, ...
    filtered: bool  # whether its reverse path filter dropped packets meanwhile


@dataclass(frozen=True)
class Trial:
    """One pair, pinged alone."""

    pair: Pair
    answered: bool
    reached: bool  # whether the target's machine answered the ping that comes only so far
    refused_by: str  # the machine that sent an ICMP refusal, as firewalls do; empty for none
    source: End
    target: End
    tcp: bool = False  # connected to instead of pinged


@dataclass(frozen=True)
class Trials:
    """What came of them; what a machine did not report is not there."""

    trials: tuple[Trial, ...] = ()
    largest: Mapping[Pair, int] = field(default_factory=dict)  # bytes that still get through


@dataclass(frozen=True)
class _Setting:
    """What a script for trials is made from."""

    machines: Mapping[str, Machine]
    facts: Mapping[str, Facts]
    probes: Mapping[str, tuple[Probe, ...]]
    tcp: int  # the port, or 0 for ICMP

    def ends(self, pair: Pair) -> str:
        """Who pings and who is pinged, for trials.sh."""
        source = self._probe(pair.source, pair.family) if pair.from_pod else "machine"
        return f"{source} {self._probe(pair.target, pair.family)}"

    def _probe(self, name: str, family: int) -> str:
        found = (p.address for p in self.probes[name] if p.address.version == family)
        return str(next(found, "none"))


def schedule(pairs: Iterable[Pair], rounds: int = ROUNDS) -> list[list[Pair]]:
    """Which pairs are tried in which round: a machine in one at a time, and each one soon."""
    left = list(pairs)
    uses: Counter[str] = Counter()
    plan: list[list[Pair]] = []
    while left and len(plan) < rounds:
        busy: set[str] = set()
        chosen = []
        for pair in sorted(left, key=lambda p: uses[p.source] + uses[p.target]):
            if not {pair.source, pair.target} & busy:
                busy |= {pair.source, pair.target}
                chosen.append(pair)
        uses.update(busy)
        left = [pair for pair in left if pair not in chosen]
        plan.append(chosen)
    return plan


def run_trials(
    fleet: Fleet, survey: Survey, silent: Sequence[Pair], large: Sequence[Pair], tcp: int = 0
) -> Trials:
    """Try silent pairs, as many as there is time for, and how large the others' packets may be.

    With `tcp`, a port, by TCP connections, as `pings.ping_script` has them.
    """
    rounds = schedule(silent)
    tried = [pair for chosen in rounds for pair in chosen]
    names = {name for pair in (*tried, *large) for name in (pair.source, pair.target)}
    if not names:
        return Trials()
    machines = {m.name: m for m in survey.cluster.machines if m.name in names}
    own = {name: probes(machine, survey.facts[name]) for name, machine in machines.items()}
    setting = _Setting(machines, survey.facts, own, tcp)
    scripts = {name: _script(name, tried, large, setting) for name in machines}
    steps: list[Step] = [(AT, machines)]
    for chosen in rounds:
        ends = {name for pair in chosen for name in (pair.source, pair.target)}
        steps += [(SENT, ends), (AT, ends)]
    answers = fleet.in_step(scripts, READY, steps, "pinging one by one")
    return read_trials(tried, large, heard(answers), survey.facts, tcp)


def _script(name: str, tried: Sequence[Pair], large: Sequence[Pair], setting: _Setting) -> Script:
    """The script of one machine."""
    return probe_script(
        setting.probes[name],
        setting.facts[name],
        "connectivity/connect.sh",
        "diagnosis/firewall.sh",
        "diagnosis/trials.sh",
        count=COUNT,
        tcp=setting.tcp or "",
        sizes=SIZES,
        large=[
            f"{number} {pair.family} {setting.ends(pair)}"
            for number, pair in enumerate(large)
            if pair.source == name
        ],
        trials=[
            f"{number} {pair.family} {_part(pair, name, setting)}"
            for number, pair in enumerate(tried)
            if name in (pair.source, pair.target)
        ],
    )


def _part(pair: Pair, name: str, setting: _Setting) -> str:
    """One machine's part in a trial, for trials.sh."""
    part, other = ("source", pair.target) if name == pair.source else ("target", pair.source)
    neighbour = setting.machines[other].internal_ip(pair.family)
    return f"{part} {setting.ends(pair)} {neighbour or 'none'}"


def read_trials(
    tried: Sequence[Pair],
    large: Sequence[Pair],
    answers: Mapping[str, Answer],
    facts: Mapping[str, Facts],
    tcp: int = 0,
) -> Trials:
    """Read what the scripts printed, section by section, of the machines that did."""
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
    """Raises ValueError where an end's answer cannot be read."""
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
        tcp=tcp > 0,
    )


def _senders(pattern: str, lines: Iterable[str]) -> set[Address]:
    """Who sent the ICMP errors of that pattern; not a link-local address, which has a scope."""
    found = set()
    for line in lines:
        for text in re.findall(pattern, line):
            with suppress(ValueError):
                found.add(values.address(text))
    return found


def _addresses(facts: Facts) -> set[Address]:
    return {interface.ip for _, interface in facts.addresses}


def _owner(addresses: set[Address], pair: Pair, facts: Mapping[str, Facts]) -> str:
    """Which end of a pair has one of these addresses."""
    ends = (pair.source, pair.target)
    return next((name for name in ends if addresses & _addresses(facts[name])), "")


def _end(said: Answer, number: int, family: int, tcp: int) -> End:
    def of(name: str) -> list[str]:
        return said.get((name, str(number)), [])

    before = {drop.place: drop for drop in read_drops(of("before-firewall"), family)}
    risen = []
    for drop in read_drops(of("after-firewall"), family):
        held = before.get(drop.place)
        if drop.packets and held is not None and held.packets is not None:
            risen += [replace(drop, packets=None)] if drop.packets > held.packets else []
    state = " ".join(of("neighbour")).split()
    return End(
        requests=_requests(of("after"), family, tcp) - _requests(of("before"), family, tcp),
        drops=tuple(risen),
        neighbour=state[-1] if state and state[-1] in _STATES else "",
        filtered=_filtered(of("after")) > _filtered(of("before")),
    )


def _requests(lines: Sequence[str], family: int, tcp: int) -> int:
    """What came to a probe so far, by /proc/net/snmp and, for IPv6's ICMP, snmp6 (proc_net(5))."""
    if tcp:
        return _counter(lines, "Tcp:", "InSegs")
    if family == 4:
        return _counter(lines, "Icmp:", "InEchos")
    found = [line.split()[1:2] for line in lines if line.startswith("Icmp6InEchos")]
    return _count(*found[0]) if found else 0


def _filtered(lines: Sequence[str]) -> int:
    """Packets that reverse path filtering has dropped so far (/proc/net/netstat)."""
    return _counter(lines, "TcpExt:", "IPReversePathFilter")


def _counter(lines: Sequence[str], group: str, name: str) -> int:
    """A counter in the format of /proc/net/snmp (proc_net(5)); 0 where it is not there.

    A group has two lines that start with its name: one has its counters' names, one the values.
    """
    rows = [line.split() for line in lines if line.startswith(group)]
    names, counters = [*rows, [], []][:2]
    found = [value for key, value in zip(names, counters, strict=False) if key == name]
    return _count(found[0]) if found else 0


def _count(digits: str = "") -> int:
    """A counter; what no kernel counts up to is 0."""
    try:
        return values.number(digits)
    except ValueError:
        return 0


def _largest(said: Answer, number: int) -> int:
    """The largest of SIZES that was answered; 0 if none."""
    return max((size for size in SIZES if ("size", f"{number} {size}") in said), default=0)
