"""Pings without a pause: who pings whom, and what ping(8) says of it."""

from collections.abc import Iterable
from ipaddress import ip_interface
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import create_autospec

import pytest

from tasks.common.script import script
from tasks.connectivity import stream
from tasks.connectivity.probe import probes, wired
from tasks.connectivity.stream import (
    INTERVAL,
    MAX_STREAMS,
    Loss,
    Stream,
    Streams,
    chosen_streams,
    longest_run,
    read_loss,
)
from tasks.facts.survey import Survey
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError
from tasks.ssh.shell import RunningScript
from tests.builders import cluster, facts, machine
from tests.scripts import SHELLS, answer

NAMES = [f"worker-{n}" for n in range(30)]
PAIRS = frozenset((one, other) for one in NAMES for other in NAMES if one != other)


def missed(*numbers: int) -> list[str]:
    return [f"no answer yet for icmp_seq={n}" for n in numbers]


def summary(sent: int, received: int) -> str:
    return f"{sent} packets transmitted, {received} received, 0% packet loss, time 9ms"


def answered(*numbers: int) -> list[str]:
    return [f"64 bytes from 10.200.1.253: icmp_seq={n} ttl=64 time=0.05 ms" for n in numbers]


FARTHER = [line for n in range(100) for line in (*missed(n + 3), *answered(n))]


@pytest.mark.parametrize(
    ("lines", "longest"),
    [
        ([], 0),
        (missed(7), 1),
        ([*missed(7), *answered(8), *missed(9), *answered(10), *missed(11)], 1),
        ([*missed(1, 2, 3), *answered(4, 5, 6), *missed(7, 8)], 3),
        ([*missed(1), *answered(2, 3, 4), *missed(5, 6, 7)], 3),
        (missed(65534, 65535, 0, 1), 4),  # the numbers begin anew
        (FARTHER, 1),  # each answer comes when further pings are sent
        ([*missed(1), "From 10.240.0.6 icmp_seq=1 Destination Host Unreachable", *missed(2)], 2),
    ],
)
def test_the_longest_run_is_of_pings_without_an_answer(lines: list[str], longest: int) -> None:
    assert longest_run(["PING 10.200.1.253", *lines, ""]) == longest


@pytest.mark.parametrize(
    ("lines", "loss"),
    [
        ([summary(98, 98)], Loss(98, 0, 0)),
        ([*missed(3, 4), *answered(5), *missed(9), summary(98, 95)], Loss(98, 3, 20)),
        ([*missed(3, 4, 5), summary(98, 98)], Loss(98, 0, 0)),  # late, not lost
        ([summary(98, 97)], Loss(98, 0, 0)),  # the last one was under way
        (missed(3, 4, 5), None),  # it broke off
        ([*missed(3 * 10**9), "no answer yet for icmp_seq=x", summary(5, 9)], Loss(5, 0, 0)),
        (["9" * 30 + " packets transmitted, 1 received"], None),
    ],
)
def test_the_loss_is_what_ping_sums_up(lines: list[str], loss: Loss | None) -> None:
    assert read_loss(lines, 0.01) == loss


def test_losses_add_up_and_the_longest_gap_counts() -> None:
    assert Loss(10, 1, 10) + Loss(20, 2, 5) == Loss(30, 3, 10)


def test_each_source_has_one_stream_and_their_number_is_bounded() -> None:
    streams = chosen_streams(PAIRS, {(*pair, 4): 0.1 for pair in PAIRS})
    assert len({s.source for s in streams}) == len(streams) == MAX_STREAMS
    assert {s.interval for s in streams} == {INTERVAL}


def test_both_families_have_their_turn() -> None:
    streams = chosen_streams(PAIRS, {(*pair, f): 0.1 for pair in PAIRS for f in (4, 6)})
    assert {s.family for s in streams} == {4, 6}


def test_far_workers_are_pinged_less_often_and_silent_ones_not_at_all() -> None:
    """Else every answer would come after the next ping, and count as missed."""
    pairs = frozenset({("a", "b"), ("b", "a")})
    (chosen,) = chosen_streams(pairs, {("a", "b", 4): 30.0})
    assert (chosen.source, chosen.target, chosen.interval) == ("a", "b", 0.06)


class Pinging:
    """A fleet of two workers that ping each other; each says what it is given, look by look."""

    def __init__(self, zero: list[Any], one: list[Any]) -> None:
        self._say = {"worker-0": iter(zero), "worker-1": iter(one)}
        self.told: list[tuple[str, str]] = []
        self.heard = Event()

    def start(self, scripts: Iterable[str], *_: object) -> dict[str, Any]:
        return {name: create_autospec(RunningScript, instance=True, over=False) for name in scripts}

    def send(self, running: dict[str, Any], word: str, _: str) -> dict[str, str | MachineError]:
        self.told += [(name, word) for name in running]
        answers: dict[str, str | MachineError] = {}
        for name, told in running.items():
            said = next(self._say[name], None) if word == "on" else [summary(300, 100)]
            told.over = said is ENDS
            answers[name] = said if isinstance(said, MachineError) else "\n".join(said or ())
            if said is None:
                self.heard.set()
        return answers


GOOD, SILENT, ENDS = answered(*range(50)), missed(*range(120)), ["it ends"]


@pytest.mark.parametrize(
    ("zero", "one", "silent"),
    [
        ([[], GOOD, GOOD], [[], GOOD, GOOD], ""),
        ([[], GOOD, SILENT], [[], GOOD, GOOD], "worker-0 to worker-1"),
        ([[], GOOD, SILENT[:60], SILENT[60:]], [[], GOOD, GOOD, GOOD], "worker-0 to worker-1"),
        ([[], GOOD, FARTHER], [[], GOOD, FARTHER], ""),
        ([[], GOOD, SILENT], [[], GOOD, MachineError("no answer within 10 seconds")], ""),
        ([[], GOOD, SILENT], [[], GOOD, ENDS], ""),
        ([[], GOOD, GOOD, SILENT], [[], GOOD, ENDS], ""),
        ([[], SILENT, SILENT], [[], GOOD, GOOD], ""),  # a limit on pings: not the change
        ([[], [*answered(1, 2), *missed(*range(40))], SILENT], [[], GOOD, GOOD], ""),
    ],
)
def test_only_the_change_can_make_a_stream_silent(
    zero: list[Any], one: list[Any], silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what was so before it, nor a probe that has ended, nor a longer way."""
    monkeypatch.setattr(stream, "PAUSE", 0.01)
    fleet: Any = Pinging(zero, one)
    there = {name: facts(n) for n, name in enumerate(("worker-0", "worker-1"))}
    both = [
        Stream("worker-0", "worker-1", 4, INTERVAL),
        Stream("worker-1", "worker-0", 4, INTERVAL),
    ]
    streams = Streams(fleet, Survey(cluster(2), there, {}), both)
    assert fleet.heard.wait(20)
    loss = streams.end()
    assert streams.silent == silent
    assert (("worker-0", "end") in fleet.told[:6]) is (zero[1] is not GOOD)
    assert loss.sent <= 600


# A machine with a pod bridge. The stream is told to end after some answers, if it gets any.
NODE = """ip link set lo up
ip link add cni0 type bridge
ip addr add 10.200.0.1/24 dev cni0
ip link set cni0 up
mount -t sysfs none /sys
rm said
mkfifo said
echoed() { awk '$1 == "Icmp:" && $10 ~ /[0-9]/ { print $10 }' /proc/net/snmp; }
{
  printf 'go\\non\\n'
  for _ in $(seq 500); do [ "$(echoed)" -lt ENOUGH ] || break; sleep 0.02; done
  printf 'end\\nend\\n'
} >said &"""
LEFT = "echo == left; ls /sys/class/net; ps ax | grep '[p]ing' || :"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("target", "answers"), [("10.200.0.1", True), ("10.200.0.77", False)])
def test_a_target_is_pinged_until_the_end_if_it_answers(
    target: str, answers: bool, shell: str, tmp_path: Path
) -> None:
    """Nothing is left but what was there before."""
    there = facts(0, addresses=(("cni0", ip_interface("10.200.0.1/24")),))
    own = probes(machine(0), there)
    pinged = {"target": target, "source": str(own[0].address), "interval": "0.01"}
    shared = wired(own, there, "connectivity/stream.sh", **pinged, longest=9)
    main = script("connectivity/stream_main.sh", shared=shared)
    before = NODE.replace("ENOUGH", "10" if answers else "0")
    said = answer(main, tmp_path, before=before, after=LEFT, shell=shell)
    found = sections(said)
    assert ("ready", "bridge") in found
    loss = read_loss(said.splitlines(), INTERVAL)
    assert (loss is not None and loss.sent > 5 and loss.lost == 0) is answers
    assert found["left", ""] == ["cni0", "lo"]
