"""One input given to one target, and judged."""

import json
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Literal

from tasks.common.errors import Stop
from tasks.ssh.errors import MachineError
from tests.hostile.judge import shown, strange, vocabulary
from tests.paths import PROJECT

from .targets import Out, Target, World

Kind = Literal["traceback", "leak", "slow"]

LEAST, PER_CHARACTER = 0.5, 1e-5  # seconds of processor time that an input may take
PATIENCE = 20  # seconds of processor time until one that takes longer is ended


@dataclass(frozen=True)
class Find:
    """What came of an input and must not."""

    kind: Kind
    target: str
    words: str
    text: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What it has in common with the same find by another input."""
        return self.kind, self.target, re.sub("[0-9]", "", self.words.partition(":")[0])


@dataclass
class Count:
    """Rounds, and what was found in them, each kind of find once."""

    rounds: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    finds: dict[tuple[str, str, str], Find] = field(default_factory=dict)

    def note(self, finds: Iterable[Find]) -> list[Find]:
        """Count a round; those finds that are new."""
        self.rounds += 1
        new = []
        for find in finds:
            self.kinds[find.kind] += 1
            held = self.finds.get(find.place)
            if held is None or len(find.text) < len(held.text):
                self.finds[find.place] = find
            if held is None:
                new.append(find)
        return new


class _Late(BaseException):
    """An input that takes too long."""


class Judge:
    """Gives inputs to targets, and judges what comes of them."""

    def __init__(self, world: World) -> None:
        self._known: set[str] = set()
        for target in world.targets:
            for seed in target.seeds:
                for _ in range(16):  # each use has its turn
                    for kind, out in _given(target, seed):
                        if kind == "sent":
                            self._known.update(out.split("\n"))
        self._words = vocabulary([*self._known, *_names(world)])

    def judged(self, target: Target, text: str) -> list[Find]:
        """What an input brings about that must not be."""

        def found(kind: Kind, words: str) -> Find:
            return Find(kind, target.name, words, text)

        started = time.process_time()
        finds = []
        try:
            with _bounded(), redirect_stdout(StringIO()), redirect_stderr(StringIO()) as told:
                said = list(_given(target, text))
            said.append(("shown", told.getvalue()))
        except _Late:
            return [found("slow", f"not within {PATIENCE} s, {len(text)} characters")]
        except Exception as error:
            return [found("traceback", _told(error))]
        seconds = time.process_time() - started
        if seconds > LEAST + PER_CHARACTER * len(text):
            finds.append(found("slow", f"{seconds:.1f} s for {len(text)} characters"))
        finds += [found("leak", words) for kind, out in said for words in self._wrong(kind, out)]
        return finds

    def _wrong(self, kind: str, out: str) -> Iterator[str]:
        """What is not as it may be in something sent, shown or written."""
        if kind == "sent":
            for line in set(out.split("\n")) - self._known:
                wrong = list(strange(line, self._words))
                yield from (f"sent: {word}" for word in wrong)
        elif kind == "json":
            try:
                json.loads(out, parse_constant=_refuse)
            except ValueError as error:
                yield f"no JSON: {error}"
        elif kind == "shown":
            yield from shown(out)
        elif any(not (c.isprintable() or c in "\n\t") for c in out):
            yield "written: raw"


def _names(world: World) -> list[str]:
    return [machine.name for machine in world.cluster.machines]


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _given(target: Target, text: str) -> Iterator[Out]:
    """What comes of an input."""
    try:
        value = target.read(text)
    except (ValueError, Stop, MachineError) as error:
        yield "shown", str(getattr(error, "message", "") or error)
        return
    try:
        yield from target.use(value)
    except Stop as stop:
        yield "shown", str(stop.message)


def _told(error: BaseException) -> str:
    """Where an exception comes from in the software."""
    trace = traceback.extract_tb(error.__traceback__)
    own = [f for f in trace if f.filename.startswith(str(PROJECT / "tasks"))] or trace
    return f"{type(error).__name__} in {Path(own[-1].filename).name}, {own[-1].name}"


@contextmanager
def _bounded() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
