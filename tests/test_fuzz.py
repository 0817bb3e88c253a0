"""The fuzzer: it sees what must not be, and its pages keep each other's sections."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import pytest

from tests.fuzz.mutation import LONG, lengthened, mutated
from tests.fuzz.targets import Target, World
from tests.fuzz.trial import LEAST, Count, Judge

from .pages import with_head, with_section


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(World(tmp_path_factory.mktemp("world")))


def test_every_text_to_start_from_is_read_and_used(judge: Judge, tmp_path: Path) -> None:
    for target in World(tmp_path).targets:
        assert target.seeds
        for seed in target.seeds:
            target.read(seed)
            assert judge.judged(target, seed) == []


@pytest.mark.parametrize(
    ("kind", "out"),
    [
        ("sent", "ip route add fd00::%$(id)/64"),
        ("shown", "worker-1\x1b]0;x\x07"),
        ("json", '{"rtt": Infinity}'),
        ("written", "a\u202eb"),
    ],
)
def test_what_leaks_is_found(judge: Judge, kind: str, out: str) -> None:
    target = Target("leaky", str, lambda text: [(kind, text)], ())
    assert [find.kind for find in judge.judged(target, out)] == ["leak"]


def test_what_crashes_and_what_is_slow_is_found(judge: Judge) -> None:
    def crash(_: Any) -> Iterator[tuple[str, str]]:
        raise OverflowError

    def dawdle(_: Any) -> Iterator[tuple[str, str]]:
        end = process_time() + 2 * LEAST
        while process_time() < end:
            yield "shown", ""

    count = Count()
    for use, kind in ((crash, "traceback"), (dawdle, "slow")):
        (find,) = count.note(judge.judged(Target("bad", str, use, ()), "text"))
        assert find.kind == kind
    assert count.rounds == 2
    refusing = Target("refusing", int, lambda _: [], ())
    assert judge.judged(refusing, "no number") == []


def test_the_same_seed_makes_the_same_texts() -> None:
    seeds = ("== cni /a\n10.200.1.0/24 24\n== reserved\n10.200.1.2\n",)
    chances = (Random(3), Random(3))  # noqa: S311
    made = [[mutated(seeds[0], seeds, chance) for _ in range(50)] for chance in chances]
    assert made[0] == made[1]
    assert len(set(made[0])) > 20
    long = [lengthened(seeds[0], Random(n)) for n in range(9)]  # noqa: S311
    assert all(LONG / 2 < len(text) < LONG * 4 for text in long)


def test_a_section_of_a_page_leaves_the_others() -> None:
    page = "# Faults\n\nOne.\n"
    page = with_section(page, "Two", "two")
    page = with_section(page, "Three", "three")
    page = with_section(page, "Two", "other")
    assert page == "# Faults\n\nOne.\n\n## Two\n\nother\n\n## Three\n\nthree\n"
    assert with_head(page, "# New\n") == "# New\n\n## Two\n\nother\n\n## Three\n\nthree\n"
    assert with_head("", "# New\n") == "# New\n"
