"""Pings from one machine: the targets, the script, and its results."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tasks.common import values
from tasks.common.script import Script, Values, script
from tasks.common.values import Address, Network
from tasks.facts.model import Facts
from tasks.ssh.answer import sections

from .probe import Probe, Wired, probe_script

COUNT = 3  # a pair is silent after three unanswered
SENT = "== sent"  # all pings have ended; a line lets the probe go, which others may still need
HEADERS = {4: 28, 6: 48}  # bytes of IP and ICMP
MAX_RTT = 60_000  # milliseconds; ping(8) waits for a second


Source = Network | None  # from where packets came; None: not from any of those that were listed


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
        """Whether any answer came."""
        return self.received > 0

    @property
    def unanswered(self) -> "Ping":
        """The same ping, as if no answer had come."""
        return replace(self, received=0, rtt=None, large=False)


@dataclass(frozen=True)
class Report:
    """What one machine reports."""

    wired: Wired
    why: str  # why its probe is not wired as a pod is, or why a family has none
    forwards: dict[int, bool]  # by its settings, for each family; True where they were not asked
    pings: tuple[Ping, ...]
    callers: frozenset[Source] | None = None  # from where TCP connections came, if counted


def ping_script(
    own: Sequence[Probe],
    facts: Facts,
    targets: Sequence[Target],
    tcp: int = 0,
    callers: Iterable[Network] = (),
    *,
    forwarding: bool = False,
) -> Script:
    """The script that pings all targets at once, from the probe and from the machine, until SENT.

    With `tcp`, a port, they are TCP connections: a TCP reset from the probe counts as an answer.
    Firewalls can forge one, so each probe also counts the SYNs from each of the `callers`.
    `forwarding`: report first whether the machine's settings let it forward.
    """
    sources = {target.source.version: target.source for target in targets if target.source}
    pods = [target.address for target in targets if target.source]
    hosts = [target.address for target in targets if not target.source]
    asked: dict[str, Values] = {
        "count": COUNT,
        "tcp": tcp or "",
        "size4": facts.pod_mtu - HEADERS[4],
        "size6": facts.pod_mtu - HEADERS[6],
    }
    return probe_script(
        own,
        facts,
        "connectivity/connect.sh",
        "connectivity/ask.sh",
        "connectivity/pings.sh",
        **asked,
        pods=pods,
        source4=sources.get(4, ""),
        source6=sources.get(6, ""),
        # Each address once: Linux takes 128 KiB for one argument of a program (execve(2)).
        asking=script("connectivity/connect.sh", "connectivity/ask.sh", **asked, hosts=hosts)
        if hosts
        else "",
        callers=callers if tcp else (),
        forwarding="yes" if forwarding else "",
    )


def read_report(answer: str, targets: Iterable[Target]) -> Report:
    """Read what the script printed. Raises ValueError if it is not such a report."""
    wired: Wired = "none"
    forwards = {4: True, 6: True}
    found = sections(answer)
    for (name, detail), lines in found.items():
        if name == "ready":
            wired = _wired(detail)
        elif name == "forwarding":
            drops = any(map(_drops, lines[1:]))
            forwards[values.number(detail, 4, 6)] = lines[:1] == ["1"] and not drops
    why = " ".join(found.get(("wiring", ""), [])) if wired in ("lo", "none") else ""
    if ("lacks", "bash") in found:
        wired, why = "none", "--tcp needs bash on it"
    callers = counted_sources(found[("callers", "")]) if ("callers", "") in found else None
    return Report(wired, values.shown(why), forwards, tuple(_read_pings(found, targets)), callers)


def _drops(line: str) -> bool:
    """Whether a chain that forwarded packets go through drops what no rule takes."""
    _, hook, rest = line.partition("hook forward ")
    return line.startswith("-P FORWARD DROP") or (bool(hook) and "policy drop" in rest)


_COUNTED = re.compile(r"\[(\d+):\d+\] -A INPUT (?:-s (\S+) )?")


def counted_sources(lines: Iterable[str]) -> frozenset[Source]:
    """The sources in iptables' rules that have counted anything; None is any other source."""
    rules = (match for line in lines if (match := _COUNTED.match(line)))
    return frozenset(
        values.network(rule[2]) if rule[2] else None for rule in rules if values.number(rule[1])
    )


def _wired(word: str) -> Wired:
    if word not in ("bridge", "routed", "lo", "none"):
        raise ValueError(f"cannot read the probe's answer: {values.quoted(word)}")
    return word  # type: ignore[return-value]


def _read_pings(
    found: Mapping[tuple[str, str], Sequence[str]], targets: Iterable[Target]
) -> Iterator[Ping]:
    """What came of each target, but for those that nobody began to ping."""
    came = {key: _summaries(found[key]) for key in found if key[0] in ("large", "small")}
    for target in targets:
        side = "pod" if target.source else "host"
        if ("large", side) in came:
            large = came["large", side].get(target.address, _SILENCE)
            small = came.get(("small", side), {}).get(target.address, large)
            received, rtt = large if large[0] else small
            family, from_pod = target.address.version, target.source is not None
            yield Ping(target.worker, family, from_pod, received, rtt, large=large[0] > 0)


_Answers = tuple[int, float | None]  # how many of COUNT, and in how many milliseconds

_SILENCE: _Answers = (0, None)
_RECEIVED = re.compile(rf"\b([0-{COUNT}]) received")


def _summaries(lines: Iterable[str]) -> dict[Address, _Answers]:
    """By address, what ping(8) sums up; what is torn is left out.

    "--- 10.200.1.254 ping statistics ---", "3 packets transmitted, 3 received, 0% packet loss",
    "rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms".
    """
    blocks: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("--- "):
            blocks.append((line[4:].partition(" ")[0], []))
        elif blocks:
            blocks[-1][1].append(line)
    found = {}
    for name, block in blocks:
        received = [word for line in block for word in _RECEIVED.findall(line)]
        if len(received) == 1:
            with suppress(ValueError):
                found[values.address(name)] = (int(received[0]), _rtt(block))
    return found


def _rtt(block: Iterable[str]) -> float | None:
    """The average round trip in milliseconds; none where it cannot be read."""
    numbers = next((line for line in block if line.startswith("rtt ")), "").partition(" = ")[2]
    with suppress(ValueError, IndexError):
        return values.decimal(numbers.split("/")[1], MAX_RTT)
    return None
