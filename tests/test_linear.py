"""Four times as much said by one machine costs four times the work, not sixteen times.

Work is counted, not timed: how many functions are called.
"""

import cProfile
import pstats
from collections.abc import Callable
from time import process_time

import pytest

from tasks.common.values import MAX_LINE
from tasks.diagnosis.condition import address_range
from tasks.diagnosis.evidence import read_evidence
from tasks.iproute.route import parse
from tasks.persistence.backends import persisted_routes

from .growth import EXAMINING, PLANNING, READING, REPLACING, Job

SIZE = 250
GROWTH = 5  # at most so many times the work for four times as much: n log n


def calls(job: Job) -> int:
    """How many functions a job calls, those of C too; what was read before is read anew."""
    parse.cache_clear()
    address_range.cache_clear()
    with cProfile.Profile() as profile:
        job()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def growth(of: Callable[[int], Job]) -> float:
    """How many times the work is, where there is four times as much."""
    of(8)()  # what is made once, and kept, is no part of either
    return calls(of(4 * SIZE)) / calls(of(SIZE))


@pytest.mark.parametrize("name", READING)
def test_reading(name: str) -> None:
    assert 2 < growth(READING[name]) < GROWTH


@pytest.mark.parametrize("name", PLANNING)
def test_planning_and_its_report(name: str) -> None:
    assert growth(PLANNING[name]) < GROWTH


@pytest.mark.parametrize("name", REPLACING)
def test_planning_with_all_allowed(name: str) -> None:
    assert growth(REPLACING[name]) < GROWTH


@pytest.mark.parametrize("name", EXAMINING)
def test_looking_for_causes(name: str) -> None:
    assert growth(EXAMINING[name]) < GROWTH


def test_growth_is_seen() -> None:
    def squared(number: int) -> Job:
        return lambda: [repr(k) for k in range(number) for _ in range(number)]

    assert growth(squared) > GROWTH


# Lines of the greatest length, made so that a pattern has as many ways as possible to fail.
WORST = [
    *("[1:1] -A x " + "-j " * 5400, "[1:1] -A x -j DROP" + " with" * 3200, "[" + "1" * 16300),
    *(
        "[1:1] -A x -j DROP --reject-with " + "a" * 8000 + " " + "b" * 8000 + " c",
        ":" + "a" * 16300,
    ),
    *("counter packets " + "1" * 16300 + " drop", "drop " + "counter packets 1 bytes " * 650),
    *("goto a," * 2300, "jump " * 3200, "hook " * 3200, "drop with " * 1600),
    *("1: " + "a" * 16300, "1: " + "a" * 8000 + ": <" + "b" * 8000, "1: a: <" + "> mtu " * 2700),
    *("route add " + "a" * 16300, "Destination=" + "a" * 16300, "route add " * 1600),
]


@pytest.mark.parametrize("line", WORST, ids=lambda line: line[:24])
def test_no_pattern_tries_one_line_over_and_over(line: str) -> None:
    """Forty of them are no work; tried from each of their characters they would take minutes."""
    assert len(line) <= MAX_LINE
    parts = ("link", "firewall 4", "firewall 6", "end")
    sections = [f"== {part}\n" + f"{line}\n" * 40 for part in parts]
    native = f"nft\ntable inet f {{\nchain c {{\n{line}\n"
    started = process_time()
    read_evidence("".join(sections) + "== firewall 4\n" + native)
    persisted_routes({"": line})
    assert process_time() - started < 5
