"""Pings from one machine: what is pinged, the script that does so, and what came of it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from .answer import sections
from .probe import Wired
from .script import Script, joined, script
from .values import Address, Network, decimal, network, number, quoted

COUNT = 3  # a pair is silent after three unanswered
MAX_RTT = 60_000.0  # milliseconds; a ping waits for one second
GIVEN = Script('"$@"')  # what the arguments of a script say
SENT = "== sent"  # all pings have ended; a line lets the probe go, which others may still need


Callers = frozenset[Network | None]  # prefixes; None: any other source


@dataclass(frozen=True)
class Target:
    """One ping to be sent: to a worker's probe, from this machine's probe or from its own."""

    worker: str
    address: Address
    source: Address | None  # None: from the machine itself


@dataclass(frozen=True)
class Ping:
    """What came of the pings to one target."""

    worker: str
    family: int
    from_pod: bool
    received: int  # of COUNT
    rtt: float | None  # milliseconds, on average
    large: bool  # whether those that filled the MTU were answered

    @property
    def answers(self) -> bool:
        """Whether there was any answer at all."""
        return self.received > 0

    @property
    def unanswered(self) -> "Ping":
        """The same, but that nobody is taken to have answered."""
        return replace(self, received=0, rtt=None, large=False)


@dataclass(frozen=True)
class Report:
    """What one machine found out."""

    wired: Wired
    why: str  # why its probe is not wired as a pod is
    forwards: dict[int, bool]  # by its settings, for each family; True where they were not asked
    pings: tuple[Ping, ...]
    callers: Callers | None = None  # from where TCP connections came, if they were counted


def pings(
    targets: Sequence[Target],
    mtu: int,
    tcp: int = 0,
    callers: Iterable[Network] = (),
    *,
    forwarding: bool = False,
) -> Script:
    """The pings to all targets at once, for `probe_script`; their end is SENT.

    With `tcp`, a port, they are TCP connections: that a probe turns them down is its answer. A
    firewall may do that in its name, so each probe counts from which of the `callers` any came.
    `forwarding`: say first whether the machine forwards, by its settings.
    """
    sources = {t.address.version: t.source for t in targets if t.source}
    return script(
        "ask.sh",
        "pings.sh",
        count=COUNT,
        asker=joined(script("ask.sh", count=COUNT), GIVEN),
        mtu=mtu,
        source_4=sources.get(4, "-"),
        source_6=sources.get(6, "-"),
        from_pod=[t.address for t in targets if t.source],
        from_machine=[t.address for t in targets if not t.source],
        port=tcp or "",
        callers=callers,
        forwarding="yes" if forwarding else "",
    )


def _drops(line: str) -> bool:
    """Whether a chain that iptables or nft lists drops what no rule of it takes."""
    forward = line.partition("hook forward ")[2]
    return line.startswith("-P FORWARD DROP") or "policy drop" in forward


def read_report(answer: str, targets: Iterable[Target]) -> Report:
    """Read what the script printed; raises ValueError where it is not that."""
    wired: Wired = "none"
    forwards = {4: True, 6: True}
    found = sections(answer)
    for (name, detail), lines in found.items():
        if name == "ready":
            wired = _wired(detail)
        elif name == "forwarding":
            drops = any(_drops(line) for line in lines[1:])
            forwards[number(detail, 4, 6)] = lines[:1] == ["1"] and not drops
    why = " ".join(found.get(("wiring", ""), [])) if wired in ("lo", "none") else ""
    if ("lacks", "bash") in found:
        wired, why = "none", "--tcp needs bash on it"
    callers = counted_sources(found[("callers", "")]) if ("callers", "") in found else None
    return Report(wired, why, forwards, tuple(_read_pings(found, targets)), callers)


def counted_sources(lines: Iterable[str]) -> Callers:
    """The prefixes of iptables' rules that have counted anything; None for any other source."""
    found: set[Network | None] = set()
    for line in lines:
        rule = re.match(r"\[([0-9]{1,19}):[0-9]{1,19}\] -A INPUT (?:-s (\S{1,50}) )?", line)
        if rule and int(rule[1]):
            with suppress(ValueError):
                found.add(network(rule[2]) if rule[2] else None)
    return frozenset(found)


def _wired(word: str) -> Wired:
    if word not in ("bridge", "routed", "lo", "none"):
        raise ValueError(f"cannot read the probe's answer: {quoted(word)}")
    return word  # type: ignore[return-value]


def _read_pings(
    found: Mapping[tuple[str, str], Sequence[str]], targets: Iterable[Target]
) -> Iterator[Ping]:
    """What came of each target, but for those that nobody began to ping."""
    came = {key: _summaries(found[key]) for key in found if key[0] in ("large", "small")}
    for target in targets:
        side, address = "pod" if target.source else "host", str(target.address)
        if ("large", side) in came:
            large = came["large", side].get(address, (0, None))
            received, rtt = large if large[0] else came.get(("small", side), {}).get(address, large)
            family, from_pod = target.address.version, target.source is not None
            yield Ping(target.worker, family, from_pod, received, rtt, large=large[0] > 0)


def _summaries(lines: Iterable[str]) -> dict[str, tuple[int, float | None]]:
    """By address, how many of ping(8)'s packets were answered, and in how many milliseconds.

    "--- 10.200.1.254 ping statistics ---", "3 packets transmitted, 3 received, 0% packet loss",
    "rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms". What is torn, or no such number, is left
    out.
    """
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("--- "):
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    found = {}
    for head, *rest in blocks:
        words = head.split(maxsplit=2)
        counts = [n for line in rest for n in re.findall(rf"\b([0-{COUNT}]) received", line)]
        if len(words) > 1 and len(counts) == 1:
            found[words[1]] = (int(counts[0]), _average(rest))
    return found


def _average(lines: Iterable[str]) -> float | None:
    """The average of a line that begins "rtt min/avg/max"; None where there is no such line."""
    for line in lines:
        times = line.partition(" = ")[2].split("/", 2)
        if len(times) == 3:
            with suppress(ValueError):
                return decimal(times[1], MAX_RTT)
    return None
