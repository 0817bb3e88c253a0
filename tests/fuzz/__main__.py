"""Fuzz all that reads what others give: `python -m tests.fuzz --seconds N --seed N`.

Coverage-guided by atheris where this Python has it, else by chance alone; the same judge for both.
`--write FILE` counts it in a section of that page.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.pages import write_section

from .mutation import lengthened, mutated

LONG_EACH = 1000  # rounds, of which one is of a long text
FINDS = Path(tempfile.gettempdir()) / "fuzz-finds"
TITLE = "Hostile answers, counted"


def main() -> int:
    """Fuzz for a time or a number of rounds, print what came of it, and write it where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, help="default: 30, or as many as --rounds take")
    parser.add_argument("--rounds", type=int, default=0, help="end after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--finds", type=Path, default=FINDS, help="a directory for what is found")
    parser.add_argument("--write", type=Path, help="a page for the counts")
    parser.add_argument(
        "--guided",
        action=argparse.BooleanOptionalAction,
        default=importlib.util.find_spec("atheris") is not None,
        help="by coverage (default: where there is atheris)",
    )
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        (_guided if given.guided else _by_chance)(given)
        return 0
    given.finds.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        counts = Path(scratch, "counts")
        apart = ["--worker", str(counts), "--finds", str(given.finds.resolve())]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], *apart],
            check=False,
            env={**os.environ, "TMPDIR": scratch},
        )
        if not counts.exists():
            print(f"the worker ended by itself, with {done.returncode}", file=sys.stderr)
            return 1
        said = json.loads(counts.read_text())
    how = "guided by coverage" if given.guided else "by chance"
    line = (
        f"{said['rounds']} rounds {how}, {said['rate']} a second of processor time:"
        f" {said['traceback']} tracebacks, {said['leak']} leaks, {said['slow']} slow inputs"
    )
    print(line)
    for find in said["finds"]:
        print(f"  {find}")
    if given.write:
        write_section(given.write, TITLE, _section(said, how, given.seed))
    return 1 if done.returncode or said["finds"] else 0


def _section(said: "dict[str, int]", how: str, seed: int) -> str:
    return f"""Each round is a text that another gives, made hostile, read, and used as every verb
would: what machines say of themselves, of their firewalls, pings, pods, changes and history; what
providers' programs print; hosts.toml, machines.txt, known_hosts, and what a twin says of itself.
Most begin as answers that machines of a twin have given. One round in {LONG_EACH} is of 200,000
characters.

Counted are tracebacks; leaks, which is whatever would come into another machine's script other
than addresses, networks, numbers and the software's own words, or raw to a terminal or into a file;
and slow inputs, which take more than half a second and ten microseconds a character.

| rounds | tracebacks | leaks | slow inputs |
|--:|--:|--:|--:|
| {said["rounds"]} | {said["traceback"]} | {said["leak"]} | {said["slow"]} |

Written by `python -m tests.fuzz --rounds {said["rounds"]} --seed {seed}`, {how};
Python {platform.python_version()}.
"""


class _Fuzzing:
    """One worker's rounds."""

    def __init__(self, given: argparse.Namespace) -> None:
        from .targets import World
        from .trial import Count, Judge

        world = World(Path(tempfile.mkdtemp()))
        self.targets = world.targets
        self._judge = Judge(world)
        self._count = Count()
        self._given = given
        self._began = time.process_time()
        self._end = time.monotonic() + (given.seconds or (math.inf if given.rounds else 30))

    @property
    def over(self) -> bool:
        """Whether time or rounds are up."""
        rounds: int = self._given.rounds
        return time.monotonic() > self._end or 0 < rounds <= self._count.rounds

    def round(self, number: int, text: str) -> None:
        """Give a text to a target."""
        target = self.targets[number % len(self.targets)]
        for find in self._count.note(self._judge.judged(target, text)):
            name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
            file = self._given.finds / f"{find.kind}-{find.target}-{name}"
            file.write_bytes(text.encode("utf-8", "surrogateescape"))
            print(f"{find.kind}, {find.target}: {find.words}\n  {file}", file=sys.stderr)

    def tell(self) -> None:
        """Write what was counted where the caller reads it."""
        count = self._count
        kinds = {kind: count.kinds[kind] for kind in ("traceback", "leak", "slow")}
        finds = [f"{f.kind}, {f.target}: {f.words}" for f in count.finds.values()]
        rate = round(count.rounds / (time.process_time() - self._began))
        said = {"rounds": count.rounds, "rate": rate, **kinds, "finds": finds}
        self._given.worker.write_text(json.dumps(said))

    def made(self, number: int, chance: random.Random) -> str:
        """A text for a target."""
        seeds = self.targets[number % len(self.targets)].seeds
        text = chance.choice(seeds)
        if chance.randrange(LONG_EACH) == 0:
            return lengthened(text, chance)
        return mutated(text, seeds, chance)


def _by_chance(given: argparse.Namespace) -> None:
    fuzzing = _Fuzzing(given)
    chance = random.Random(given.seed)  # noqa: S311  # the same for a seed
    while not fuzzing.over:
        number = chance.randrange(len(fuzzing.targets))
        fuzzing.round(number, fuzzing.made(number, chance))
    fuzzing.tell()


def _guided(given: argparse.Namespace) -> None:
    """The first byte of an input names the target, the rest is its text."""
    import atheris

    with atheris.instrument_imports(include=["tasks"], enable_loader_override=False):
        fuzzing = _Fuzzing(given)

    def one(data: bytes) -> None:
        if fuzzing.over:
            fuzzing.tell()
            os._exit(0)
        if data:
            fuzzing.round(data[0], data[1:].decode("utf-8", "surrogateescape"))

    def other(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311
        if chance.random() < 0.3 and len(data) > 1:
            number = data[0]
            seeds = fuzzing.targets[number % len(fuzzing.targets)].seeds
            text = mutated(data[1:].decode("utf-8", "surrogateescape"), seeds, chance)
        elif chance.random() < 0.2:
            return bytes(atheris.Mutate(data, most))
        else:
            number = chance.randrange(len(fuzzing.targets))
            text = fuzzing.made(number, chance)
        return bytes([number]) + text.encode("utf-8", "surrogatepass")[: most - 1]

    corpus = Path(tempfile.mkdtemp())
    for number, target in enumerate(fuzzing.targets):
        for turn, seed in enumerate(target.seeds):
            (corpus / f"{number}-{turn}").write_bytes(bytes([number]) + seed.encode())
    flags = [f"-seed={given.seed}", "-max_len=300000", "-len_control=0", "-verbosity=0"]
    flags += [f"-artifact_prefix={corpus}/"]
    atheris.Setup(["fuzz", *flags, str(corpus)], one, custom_mutator=other)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
