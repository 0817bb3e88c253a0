"""Pings between pods without a pause, while something else changes routes: what that loses.

A bounded sample of workers take part. Each of them has one stream: pings of one IP version to the
probe of another worker.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
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


_MISSED = re.compile(r"no answer yet for icmp_seq=[0-9]{1,5}$")
_ANSWERED = re.compile(r"[0-9]{1,5} bytes from [0-9a-f.:%]+: icmp_seq=[0-9]{1,5} ")
_SUMMARY = re.compile(r"([0-9]{1,9}) packets transmitted, ([0-9]{1,9}) received")


def _missed(lines: Iterable[str]) -> int:
    """How many pings had no answer when the next one was sent (`ping -O`)."""
    return sum(1 for line in lines if _MISSED.match(line))


def _answered(lines: Iterable[str]) -> int:
    return sum(1 for line in lines if _ANSWERED.match(line))


def longest_run(lines: Iterable[str]) -> int:
    """The most missed pings during which no answer came, not even a late one."""
    longest = run = 0
    for line in lines:
        if _MISSED.match(line):
            run += 1
            longest = max(longest, run)
        elif _ANSWERED.match(line):
            run = 0
    return longest


def read_loss(lines: Sequence[str], interval: float) -> Loss | None:
    """What one stream has lost, by ping's summary; None if there is none.

    Some missed pings get an answer later, and the last one may get none because the stream ends.
    """
    for line in lines:
        if found := _SUMMARY.match(line):
            sent, received = map(int, found.groups())
            lost = max(0, min(sent - received, _missed(lines)))
            return Loss(sent, lost, round(min(longest_run(lines), lost) * interval * 1000))
    return None


@dataclass
class _Heard:
    """A stream that runs, and what it has said."""

    stream: Stream | None  # None: this worker is only pinged, or its stream does not count
    script: RunningScript
    lines: list[str] = field(default_factory=list)

    def hears(self, answer: str) -> bool:
        """Note what it says; whether no answer came for SILENT seconds."""
        if self.stream is None:
            return False
        enough = ceil(SILENT / self.stream.interval)
        before = max(0, len(self.lines) - enough)
        told = (_MISSED, _ANSWERED, _SUMMARY)
        self.lines += [x for x in answer.splitlines() if any(form.match(x) for form in told)]
        return longest_run(self.lines[before:]) >= enough

    @property
    def poor(self) -> bool:
        """Whether few pings are answered, even late."""
        return _missed(self.lines) > 2 * _answered(self.lines)


class Streams:
    """Streams that run side by side, until they are ended.

    A stream says nothing of the change if most of its pings are missed before (a firewall may limit
    them), or once the script with the probe that it pings has ended. It does not count then.
    """

    def __init__(self, fleet: Fleet, survey: Survey, streams: Sequence[Stream]) -> None:
        """Start them, and hear how they do; one that cannot start is left out."""
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
        self._say("on", self._heard)
        self._over.wait(PAUSE)
        self._say("on", self._heard)
        self._end([name for name, heard in self._heard.items() if heard.poor])
        self.silent = ""
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> Loss:
        """End all streams; what they have lost together."""
        self._over.set()
        self._thread.join()
        self._say("end", self._heard)
        total = Loss()
        for heard in self._heard.values():
            heard.script.close()
            if heard.stream is not None:
                total += read_loss(heard.lines, heard.stream.interval) or Loss()
        return total

    def _look(self) -> None:
        while not self._over.wait(PAUSE):
            self._say("on", self._heard)

    def _end(self, names: Collection[str]) -> None:
        """End the streams of these workers, which do not count; their probes stay for others."""
        for name in names:
            self._heard[name].stream = None
        self._say("end", names)

    def _say(self, word: str, names: Iterable[str]) -> None:
        """Send a word to these workers, and note what they have said since."""
        running = {name: self._heard[name].script for name in names}
        answers = self._fleet.send(running, word, READY)
        for name, answer in answers.items():
            if running[name].over or not isinstance(answer, str):
                running[name].close()
                del self._heard[name]
        for name, heard in self._heard.items():
            if heard.stream is not None and heard.stream.target not in self._heard:
                heard.stream = None
            if heard.hears(str(answers.get(name, ""))) and heard.stream and not self.silent:
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
