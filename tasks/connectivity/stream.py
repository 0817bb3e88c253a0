"""Pings between pods without a pause, while something else changes routes: what that loses.

A bounded sample of workers take part. Each of them has one stream: pings of one IP version to the
probe of another worker.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from threading import Event, Thread

from tasks.common.script import Script, script
from tasks.common.values import Address
from tasks.facts.survey import Survey
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import RunningScript

from .probe import READY, Probe, probes, wired
from .sample import Pairs

INTERVAL = 0.01  # seconds between two pings, if an answer takes less than half of that
MAX_STREAMS = 16
LONGEST = 300  # seconds until pings end by themselves
SILENT = 1.0  # seconds without an answer that make a stream silent
PAUSE = 0.5  # seconds between two looks at all streams
PATIENCE = 10  # seconds to wait for an answer of a worker; without one its stream does not count

RoundTrips = Mapping[tuple[str, str, int], float]  # milliseconds, by source, target, IP version


@dataclass(frozen=True)
class Stream:
    """The pings of one worker to another."""

    source: str
    target: str
    family: int
    interval: float  # seconds


@dataclass(frozen=True)
class Loss:
    """What streams have lost together."""

    sent: int = 0
    lost: int = 0
    gap: int = 0  # milliseconds; the longest time in which one of them got no answer

    def __add__(self, other: "Loss") -> "Loss":
        """The loss of more streams."""
        return Loss(self.sent + other.sent, self.lost + other.lost, max(self.gap, other.gap))


def chosen_streams(pairs: Pairs, round_trips: RoundTrips) -> list[Stream]:
    """At most MAX_STREAMS of these pairs, each worker the source of one; IP versions take turns.

    Only pairs with a known round trip are chosen.
    """
    streams: dict[str, Stream] = {}
    order = sorted(pairs)
    Random(len(order)).shuffle(order)  # noqa: S311  # no secret
    for source, target in order:
        known = [family for family in (4, 6) if (source, target, family) in round_trips]
        if known and source not in streams and len(streams) < MAX_STREAMS:
            family = known[len(streams) % len(known)]
            twice = 2 * round_trips[source, target, family] / 1000
            streams[source] = Stream(source, target, family, max(INTERVAL, round(twice, 3)))
    return list(streams.values())


_MISSED = re.compile(r"no answer yet for icmp_seq=([0-9]{1,5})")
_SUMMARY = re.compile(r"([0-9]{1,9}) packets transmitted, ([0-9]{1,9}) received")
_NUMBERS = 1 << 16  # icmp_seq begins anew after so many


def _missed(lines: Iterable[str]) -> list[int]:
    """The numbers of the pings that had no answer when the next one was sent (`ping -O`)."""
    return [int(m[1]) for line in lines if (m := _MISSED.fullmatch(line))]


def longest_run(lines: Iterable[str]) -> int:
    """The most pings in a row without an answer."""
    missed = _missed(lines)
    longest = run = min(len(missed), 1)
    for before, now in pairwise(missed):
        run = run + 1 if now == (before + 1) % _NUMBERS else 1
        longest = max(longest, run)
    return longest


def read_loss(lines: Sequence[str], interval: float) -> Loss | None:
    """What one stream has lost, by ping's summary; None if there is none.

    Some missed pings get an answer later, and the last one may get none because the stream ends.
    """
    for line in lines:
        if found := _SUMMARY.match(line):
            sent, received = map(int, found.groups())
            lost = max(0, min(sent - received, len(_missed(lines))))
            return Loss(sent, lost, round(min(longest_run(lines), lost) * interval * 1000))
    return None


@dataclass
class _Heard:
    """A stream that runs, and what it has said."""

    stream: Stream | None  # None: this worker is only pinged
    script: RunningScript
    lines: list[str] = field(default_factory=list)

    @property
    def silent(self) -> bool:
        stream = self.stream
        return stream is not None and longest_run(self.lines) * stream.interval >= SILENT


class Streams:
    """Streams that run side by side, until they are ended."""

    def __init__(self, fleet: Fleet, survey: Survey, streams: Sequence[Stream]) -> None:
        """Start them; one that cannot start is left out."""
        self.silent = ""  # the first pair that was silent
        self._fleet = fleet
        self._over = Event()
        by_source = {stream.source: stream for stream in streams}
        involved = {*by_source, *(stream.target for stream in streams)}
        own = {name: _second(survey, name) for name in sorted(involved)}
        scripts = {name: _script(survey, name, own, by_source.get(name)) for name in own}
        self._heard = {
            name: _Heard(by_source.get(name), running)
            for name, running in fleet.start(scripts, READY, "pinging", PATIENCE).items()
            if isinstance(running, RunningScript)
        }
        self._say("on")
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> Loss:
        """End all streams; what they have lost together."""
        self._over.set()
        self._thread.join()
        self._say("end")
        total = Loss()
        for heard in self._heard.values():
            heard.script.close()
            if heard.stream is not None:
                total += read_loss(heard.lines, heard.stream.interval) or Loss()
        return total

    def _look(self) -> None:
        while not self._over.wait(PAUSE):
            self._say("on")

    def _say(self, word: str) -> None:
        """Send a word to all streams, and note what they have said since."""
        running = {name: heard.script for name, heard in self._heard.items()}
        for name, answer in self._fleet.send(running, word, READY).items():
            heard = self._heard[name]
            if not isinstance(answer, str):
                del self._heard[name]
                continue
            heard.lines += answer.splitlines()
            if heard.stream is not None and heard.silent and not self.silent:
                self.silent = f"{heard.stream.source} to {heard.stream.target}"


def _second(survey: Survey, name: str) -> tuple[Probe, ...]:
    """Probes beside those of other pings at the same time."""
    worker, facts = survey.cluster.machine(name), survey.facts[name]
    first = {probe.address for probe in probes(worker, facts)}
    return probes(worker, replace(facts, reserved=facts.reserved | first))


def _script(
    survey: Survey, name: str, own: Mapping[str, Sequence[Probe]], stream: Stream | None
) -> Script:
    """The script for one worker, for Fleet.start with READY; each further line is a word."""
    ends: list[Address | str] = ["", ""]
    if stream:
        ends = [_address(own[end], stream.family) for end in (name, stream.target)]
    shared = wired(
        own[name],
        survey.facts[name],
        "connectivity/stream.sh",
        source=ends[0],
        target=ends[1] if all(ends) else "",
        interval=f"{stream.interval:.3f}" if stream else "",
        longest=LONGEST,
    )
    return script("connectivity/stream_main.sh", shared=shared)


def _address(own: Sequence[Probe], family: int) -> Address | str:
    """The address of a family; empty if there is none."""
    return next((p.address for p in own if p.address.version == family), "")
