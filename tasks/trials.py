"""Trials: failing pairs pinged again, one at a time at each machine, with both ends watched.

While many pairs ping at once, no counter tells whose packet it counted. So a machine takes part
in one trial at a time: both ends count, the source pings, both ends count again. Beside the pings
goes one that may pass only the source's own machine: the target's has to answer that itself, as
traceroute(8) has it, which shows whether packets come so far.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import values
from .answer import sections
from .cluster import Machine
from .facts import Facts
from .firewall import Drop, read_drops
from .fleet import Fleet
from .pairs import Pair
from .pinging import TIMEOUT, Gate, run_through
from .pings import COUNT
from .probe import READY, Probe, probe_script, probes
from .script import Script, script
from .shell import Shell, Trouble
from .survey import Survey
from .values import Address

ROUNDS = 6  # at most so many trials one after the other, a second and a half each
SIZES = (1492, 1480, 1460, 1450, 1430, 1420, 1400, 1380, 1280)  # bytes: what tunnels leave

# How ping(8) words an ICMP error: "From 10.240.0.7 icmp_seq=1 Packet filtered".
_FROM = r"From (\S{1,60}?):? icmp_seq=[0-9]{1,9} "
_REFUSED = r"(?:Packet filtered|Destination \w+ Prohibited|Destination Port Unreachable)"

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
    probes: Mapping[str, tuple[Probe, ...]]
    tcp: int  # the port, or 0 for ICMP

    def probe(self, name: str, family: int) -> Address | None:
        """The address of a machine's probe."""
        return next((p.address for p in self.probes[name] if p.address.version == family), None)

    def ends(self, pair: Pair) -> tuple[Address | None, Address | None]:
        """The addresses that ping and are pinged."""
        inner = self.machines[pair.source].internal_ip(pair.family)
        source = self.probe(pair.source, pair.family) if pair.from_pod else inner
        return source, self.probe(pair.target, pair.family)


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

    With `tcp`, a port, by TCP connections, as `pings.pings` has them.
    """
    tried = [pair for chosen in schedule(silent) for pair in chosen]
    names = {name for pair in (*tried, *large) for name in (pair.source, pair.target)}
    if not names:
        return Trials()
    machines = {m.name: m for m in survey.cluster.machines if m.name in names}
    own = {name: probes(machine, survey.facts[name]) for name, machine in machines.items()}
    setting = _Setting(machines, own, tcp)
    ready = Gate(READY, names)
    gates = {
        pair: [Gate(f"== {at} {number}.", (pair.source, pair.target)) for at in ("at", "sent")]
        for number, pair in enumerate(tried)
    }

    def job(name: str) -> Callable[[Shell], str]:
        mine = [gate for p in tried if name in (p.source, p.target) for gate in gates[p]]
        own_part = _pings(name, tried, [p for p in large if p.source == name], setting)
        text = probe_script(own[name], own_part, survey.facts[name])

        return lambda shell: run_through(shell, text, name, [ready, *mine], TIMEOUT)

    answers = fleet.meet({name: job(name) for name in machines}, "pinging one by one")
    found = {name: sections(a) for name, a in answers.items() if not isinstance(a, Trouble)}
    return read_trials(tried, large, found, survey.facts, tcp)


def _pings(name: str, tried: Sequence[Pair], large: Sequence[Pair], setting: _Setting) -> Script:
    """One machine's part in all trials, for `probe_script`."""
    parts = [
        _trial(number, pair, name, setting)
        for number, pair in enumerate(tried)
        if name in (pair.source, pair.target)
    ]
    return script(
        "firewall.sh",
        "ask.sh",
        "trials.sh",
        count=COUNT,
        sizes=[line for pair in large for line in _sizes(pair, setting)],
        trials=parts,
        port=setting.tcp or "",
    )


def _from(pair: Pair, setting: _Setting) -> Address | str:
    """From where a pair pings, as trials.sh has it."""
    source, _ = setting.ends(pair)
    return source if pair.from_pod and source else "host"


def _sizes(pair: Pair, setting: _Setting) -> list[str]:
    header = 28 if pair.family == 4 else 48  # bytes of IP and ICMP
    ends = f"{_from(pair, setting)} {setting.ends(pair)[1]}"
    return [f"{_size_key(pair)} {size} {header} {ends}" for size in SIZES]


def _size_key(pair: Pair) -> str:
    return f"{pair.target}/{pair.family}/{pair.from_pod}"


def _trial(number: int, pair: Pair, name: str, setting: _Setting) -> str:
    """One machine's part in a trial, as trials.sh has it."""
    role, other = ("source", pair.target) if name == pair.source else ("target", pair.source)
    hops = 2 if pair.from_pod else 1  # the target's machine is the last that answers
    neighbour = setting.machines[other].internal_ip(pair.family) or "-"
    ends = f"{_from(pair, setting)} {setting.ends(pair)[1]}"
    return f"{number} {pair.family} {role} {ends} {hops} {neighbour}"


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
            said = answers[pair.source]
            ping = " ".join(said.get(("ping", str(number)), []))
            hop = " ".join(said.get(("hop", str(number)), []))
            passed = {str(i.ip) for _, i in facts[pair.target].addresses}
            trials.append(
                Trial(
                    pair,
                    answered=bool(re.search(r"[1-9][0-9]{0,8} received", ping)),
                    reached=bool(passed & set(re.findall(_FROM, hop))),
                    refused_by=_owner(re.findall(_FROM + _REFUSED, ping), pair, facts),
                    source=_end(said, number, pair.family, tcp),
                    target=_end(answers[pair.target], number, pair.family, tcp),
                    tcp=tcp > 0,
                )
            )
    return Trials(tuple(trials), {pair: _largest(answers, pair) for pair in large})


def _owner(addresses: Iterable[str], pair: Pair, facts: Mapping[str, Facts]) -> str:
    """Which end of a pair has one of these addresses."""
    for name in (pair.source, pair.target):
        if {str(i.ip) for _, i in facts[name].addresses} & set(addresses):
            return name
    return ""


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
        neighbour=state[-1] if state else "",
        filtered=_filtered(of("after")) > _filtered(of("before")),
    )


def _requests(lines: Sequence[str], family: int, tcp: int) -> int:
    """What came to a probe so far, by /proc/net/snmp and, for IPv6's ICMP, snmp6 (proc_net(5))."""
    if tcp:
        return _counter(lines, "Tcp:", "InSegs")
    if family == 4:
        return _counter(lines, "Icmp:", "InEchos")
    found = [line.split()[1:] for line in lines if line.startswith("Icmp6InEchos")]
    return _counted(found[0][0]) if found and found[0] else 0


def _filtered(lines: Sequence[str]) -> int:
    """Packets that reverse path filtering has dropped so far (/proc/net/netstat)."""
    return _counter(lines, "TcpExt:", "IPReversePathFilter")


def _counter(lines: Sequence[str], group: str, name: str) -> int:
    """A counter in the format of /proc/net/snmp (proc_net(5)); 0 where it is not there.

    A group has two lines that start with its name: one has its counters' names, one the values.
    """
    rows = [line.split() for line in lines if line.startswith(group)]
    names, values = [*rows, [], []][:2]
    found = [v for key, v in zip(names, values, strict=False) if key == name]
    return _counted(found[0]) if found else 0


def _counted(text: str) -> int:
    """What a counter shows; one that holds no number has counted nothing."""
    try:
        return values.number(text)
    except ValueError:
        return 0


def _largest(answers: Mapping[str, Answer], pair: Pair) -> int:
    """The largest of SIZES that was answered; 0 if none."""
    said = answers.get(pair.source, {})
    return max((n for n in SIZES if ("size", f"{_size_key(pair)} {n}") in said), default=0)
