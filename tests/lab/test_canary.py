"""A worker that lies: nothing of it comes to another machine, into a file, or raw to a terminal.

Its answers are recorded on a twin, through every verb, and played again with one field hostile.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.hostile import canary, stories
from tests.hostile.replay import Step

from .conftest import KEY, labs

SAMPLE = 600  # of about half a million; `python -m tests.hostile.canary` plays them all

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What was said and heard in every verb, with the operator's key beside it."""
    root = tmp_path_factory.mktemp("recorded")
    with labs(tmp_path_factory) as make:
        stories.save(stories.record(make, root / KEY), root / "steps.json")
    yield root / "steps.json"
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def steps(file: Path) -> list[Step]:
    return stories.read(file)


def harm(file: Path, steps: Sequence[Step], chosen: Sequence[canary.Lie]) -> str:
    """What comes of some lies."""
    assert chosen
    return canary.told(canary.play_apart(file, file.with_name(KEY), steps, chosen))


def about(steps: Sequence[Step], step: str, section: str, value: str) -> Iterator[canary.Lie]:
    """Every lie about a value in a section, in one step."""
    for number, place in canary.places(steps):
        told = steps[number]
        if (told.name, place.field.section, canary.said_at(told, place)) == (step, section, value):
            for payload in canary.PAYLOADS:
                yield canary.Lie(number, place, payload)


COMMANDS = (  # step, section, value
    ("apply --replace", "cni", "fd00:200:0:1::/64"),
    ("verify --pods IPv4", "kubelet", "10.200.1.0/24"),
    ("verify --tcp IPv4", "kubelet", "10.200.1.0/24"),
    ("verify what is told", "reserved", "fd00:200:0:1::2"),
)


def test_an_address_with_a_command_in_it_runs_nowhere(file: Path, steps: Sequence[Step]) -> None:
    chosen = [list(about(steps, *where)) for where in COMMANDS]
    assert all(len(lies) >= len(canary.PAYLOADS) for lies in chosen)
    assert harm(file, steps, [lie for lies in chosen for lie in lies]) == ""


def test_a_sample_of_all_lies_does_no_harm(file: Path, steps: Sequence[Step]) -> None:
    assert harm(file, steps, canary.sample(steps, SAMPLE, seed=1)) == ""
