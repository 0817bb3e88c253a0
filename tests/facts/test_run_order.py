"""Which run was the last: by what machines say of their own order, not by clocks or claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import Stop
from tasks.facts.model import Facts
from tasks.facts.run_order import earlier, last_run, last_runs, merged
from tasks.undo.records import Last
from tests.builders import facts

EARLY, LATE = "20260101T120000.1", "20260101T130000.1"
LIE = "99991231T235959.1"
ALL = ("worker-0", "worker-1", "worker-2")


def machine(number: int, last: str = "", names: tuple[str, ...] = ALL, *runs: str) -> Facts:
    """A machine with the run kept last, those that it changed, and the order of those armed."""
    noted = tuple(tuple(line.split()) for line in runs)
    return facts(number, last=Last(last, machines=names) if last else None, runs=noted)


def together(*machines: Facts) -> dict[str, Facts]:
    return {f"worker-{n}": found for n, found in enumerate(machines)}


def test_one_clock_that_is_ahead_is_not_the_last() -> None:
    """The first run was by a clock an hour ahead, and the second changed two machines only."""
    found = together(
        machine(0, LATE, ALL, LATE),
        machine(1, EARLY, ALL[1:], LATE, EARLY),
        machine(2, EARLY, ALL[1:], LATE, EARLY),
    )
    assert last_run(found) == EARLY


def test_nobody_remembers_a_run() -> None:
    assert last_run({}) == ""
    assert last_run(together(machine(0), machine(1, "", (), EARLY))) == ""


@pytest.mark.parametrize(
    "found",
    [
        # It took itself back, or was rebooted, on worker-1.
        [machine(0, LATE, ALL[:2], LATE), machine(1, "", (), LATE)],
        [machine(0, LATE, ALL[:2], EARLY, LATE), machine(1, EARLY, ALL[:2], EARLY, LATE)],
        # worker-2 has left hosts.toml; worker-1 is new there.
        [machine(0, LATE, ("worker-0", "worker-2"), LATE), machine(1)],
        # Kept before machines noted their runs.
        [machine(0, LATE, ALL[:2]), machine(1, LATE, ALL[:2])],
        # They share no machine, but who made the later one had seen the earlier one.
        [machine(0, EARLY, ALL[:1], EARLY), machine(1, LATE, ALL[1:2], f"{LATE} {EARLY}")],
        [machine(0, EARLY, ALL[:1]), machine(1, LATE, ALL[1:2], f"{LATE} {EARLY}")],
        # worker-1 has lost its note, but took part in a later run.
        [machine(0, EARLY, ALL[:2], EARLY), machine(1, LATE, ALL[1:2], f"{LATE} {EARLY}")],
    ],
)
def test_the_last_run_is_that_of_those_that_know_of_it(found: list[Facts]) -> None:
    assert last_run(together(*found)) == LATE


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (  # two --limit runs
            [machine(0, EARLY, ALL[:1], EARLY), machine(1, LATE, ALL[1:2], LATE)],
            [
                "12:00:00 UTC is the last one on worker-0",
                "one on worker-1",
            ],
        ),
        (  # one machine's word about others
            [machine(0, LIE, ALL, EARLY, LIE), machine(1, EARLY, ALL, EARLY), machine(2)],
            ["worker-0, which says that it also changed worker-1, worker-2, where it is unknown"],
        ),
        ([machine(0, LIE, ALL[:1], LIE), machine(1, EARLY, ALL[1:], EARLY)], ["9999-12-31"]),
        (  # they contradict each other
            [machine(0, LATE, ALL[:2], EARLY, LATE), machine(1, EARLY, ALL[:2], LATE, EARLY)],
            ["came before that of 2026-01-01 13:00:00 UTC on worker-0, but after it on worker-1"],
        ),
        (  # the word of a machine that had no part in the later one
            [
                machine(0, EARLY, ALL[:1], EARLY),
                machine(1, LATE, ALL[1:2], LATE),
                machine(2, "", (), EARLY, LATE),
            ],
            [],
        ),
    ],
)
def test_what_machines_do_not_settle_is_left_to_a_person(
    found: list[Facts], said: list[str]
) -> None:
    with pytest.raises(Stop) as stop:
        last_run(together(*found))
    for words in ("--last --limit NAME", *said):
        assert words in str(stop.value.message)


def test_a_lie_is_of_the_past_once_others_were_changed_after_it() -> None:
    before = together(machine(0, LIE, ALL[:1], LIE), machine(1, EARLY, ALL[1:], EARLY))
    assert earlier(before["worker-1"], last_runs(before)) == [LIE]
    after = together(
        machine(0, LIE, ALL[:1], LIE), machine(1, LATE, ALL[1:2], EARLY, f"{LATE} {LIE}")
    )
    assert last_run(after) == LATE
    assert earlier(after["worker-1"], last_runs(after)) == []


ROWS = st.tuples(st.sampled_from("abcdef"))


@given(st.lists(ROWS, unique=True), st.lists(st.lists(st.integers(0, 9)), max_size=4))
def test_trails_that_agree_keep_their_order(rows: list[tuple[str]], picks: list[list[int]]) -> None:
    trails = [[row for n, row in enumerate(rows) if n in pick] for pick in picks]
    order = merged(trails)
    assert set(order) == {row for trail in trails for row in trail}
    for trail in trails:
        assert [row for row in order if row in trail] == trail


@given(st.lists(st.lists(ROWS, max_size=8), max_size=4))
def test_trails_that_contradict_each_other_lose_no_row(trails: list[list[tuple[str]]]) -> None:
    order = merged(trails)
    assert sorted(order) == sorted({row for trail in trails for row in trail})
