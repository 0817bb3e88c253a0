"""The canary: worker A lies in every field of every answer, through every verb.

Nothing of that may stand in a script for another machine, in a file, or raw on the terminal.
`python -m tests.hostile.canary` plays all of it, which takes hours; the tests a sample.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.lab.conftest import KEY, Directories, labs
from tests.paths import PROJECT

from .fields import Field, fields, payloads
from .replay import Place, Stage, Step
from .stories import A, read, record, save

_VALUE = re.compile(r"[0-9a-f]*[.:][0-9a-f.:]*(/\d+)?", re.IGNORECASE)
OTHERS = {  # of another machine, as tests/lab/kit.py has them
    "another's pod CIDR": "10.200.2.0/24",
    "another's IPv6 pod CIDR": "fd00:200:0:2::/64",
    "another's address": "10.240.0.8",
    "another's name": "worker-2",
}
PAYLOADS = payloads(OTHERS)
SCOPES = [name for name in PAYLOADS if name.startswith("scope")]


@dataclass(frozen=True)
class Lie:
    """One field of one answer, and what is written there."""

    step: int
    place: Place
    payload: str

    def __str__(self) -> str:
        return f"{self.payload!r} for {self.place.field.shape}"


def lies(steps: Sequence[Step]) -> Iterator[Lie]:
    """All of them."""
    for number, place in places(steps):
        for payload in PAYLOADS:
            yield Lie(number, place, payload)


def sample(steps: Sequence[Step], number: int, seed: int) -> list[Lie]:
    """So many of them, as many of each step; a third are scope IDs for what looks like a value."""
    chance = random.Random(seed)  # noqa: S311  # the same each time
    by_step: dict[int, list[Place]] = {}
    for step, place in places(steps):
        by_step.setdefault(step, []).append(place)
    values = {
        step: [place for place in every if _VALUE.fullmatch(said_at(steps[step], place))] or every
        for step, every in by_step.items()
    }
    chosen: dict[tuple[str, str], Lie] = {}
    while len(chosen) < number:
        for step, every in by_step.items():
            for among, names in ((every, PAYLOADS), (every, PAYLOADS), (values[step], SCOPES)):
                lie = Lie(step, chance.choice(among), chance.choice(list(names)))
                chosen.setdefault((lie.place.field.shape, lie.payload), lie)
    return list(chosen.values())[:number]


def said_at(step: Step, place: Place) -> str:
    """What was really said there."""
    said = step.said[place.conversation].said[place.part]
    return said[place.field.start : place.field.end]


def places(steps: Sequence[Step]) -> Iterator[tuple[int, Place]]:
    """Where A can lie, with the number of the step."""
    host = _host(steps)
    for number, step in enumerate(steps):
        for at, conversation in enumerate(step.said):
            if conversation.host == host:
                for part, said in enumerate(conversation.said):
                    for field in fields(said):
                        yield number, Place(at, part, field)


def _host(steps: Sequence[Step]) -> str:
    """The address of A."""
    found = re.search(rf'"{A}"\npublic_ip = "([^"]+)"', steps[0].inventory)
    assert found
    return found[1]


def play(steps: Sequence[Step], chosen: Iterable[Lie], stage: Stage) -> dict[str, list[str]]:
    """Tell some lies, after the truth; what came of those that did harm."""
    found = {}
    honest = set()
    for lie in chosen:
        step = steps[lie.step]
        if lie.step not in honest and (complaints := stage.run(step)):
            found[f"{step.name}: the truth"] = complaints
        honest.add(lie.step)
        if complaints := stage.run(step, lie.place, PAYLOADS[lie.payload]):
            found[f"{step.name}: {lie}"] = complaints
    return found


def play_apart(
    file: Path, key: Path, steps: Sequence[Step], chosen: Sequence[Lie]
) -> dict[str, list[str]]:
    """Tell lies about the steps in a file, in processes that have no network."""
    parts = os.cpu_count() or 1
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as work:
        runs = []
        for part in range(parts):
            lies = Path(work, f"lies-{part}")
            lies.write_text(json.dumps([asdict(lie) for lie in chosen[part::parts]]))
            arguments = ["--steps", str(file), "--key", str(key), "--lies", str(lies)]
            module = (sys.executable, "-m", "tests.hostile.canary", *arguments)
            runs.append(subprocess.Popen(["unshare", "--net", *module], cwd=PROJECT))
        for run in runs:
            assert run.wait() == 0
        for part in range(parts):
            found |= json.loads(Path(work, f"lies-{part}").read_text())
    return found


def told(found: dict[str, list[str]]) -> str:
    """What was found, the same complaints together."""
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for lie, complaints in found.items():
        for complaint in complaints:
            kind = re.sub(r"\d+", "0", complaint)
            kinds[kind] += 1
            examples.setdefault(kind, f"{complaint}\n    {lie}")
    return "\n".join(f"{n} times: {examples[kind]}" for kind, n in kinds.most_common())


def main() -> int:
    """Tell lies, and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.canary", description=__doc__)
    parser.add_argument("--number", type=int, default=0, help="how many (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="which of them")
    parser.add_argument("--steps", type=Path, help="recorded steps (default: recorded now)")
    parser.add_argument("--key", type=Path, help="the key that they log in with")
    parser.add_argument("--lies", type=Path, help="those to tell; replaced by what came of them")
    given = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.lies:
            chosen = [_lie(**each) for each in json.loads(given.lies.read_text())]
            found = play(read(given.steps), chosen, Stage(root, given.key))
            given.lies.write_text(json.dumps(found))
            return 0
        file, key = given.steps or root / "steps.json", given.key or root / KEY
        if not given.steps:
            save(record(stack.enter_context(labs(Directories(root))), key), file)
        steps = read(file)
        chosen = sample(steps, given.number, given.seed) if given.number else list(lies(steps))
        started = time.monotonic()
        found = play_apart(file, key, steps, chosen)
        seconds = time.monotonic() - started
    print(told(found), f"{len(chosen)} lies in {seconds:.0f} s, harm: {len(found)}", sep="\n")
    return 1 if found else 0


def _lie(step: int, place: dict[str, Any], payload: str) -> Lie:
    at = Place(place["conversation"], place["part"], Field(**place["field"]))
    return Lie(step, at, payload)


if __name__ == "__main__":
    sys.exit(main())
