"""Four times as much said by one machine costs four times the work, not sixteen times.

Work is counted, not timed: how many functions are called.
"""

import cProfile
import pstats
from collections.abc import Callable

import pytest

from tasks.route import parse

from .growth import EXAMINING, PLANNING, READING, REPLACING, Job

SIZE = 250
GROWTH = 5  # at most so many times the work for four times as much: n log n


def calls(job: Job) -> int:
    """How many functions a job calls, those of C too; lines read before are read anew."""
    parse.cache_clear()
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
