"""One run of fab played again, with one field of one machine's answer hostile; and judged."""

import gc
import io
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fabric import Connection

from tests.paths import PROJECT

from .fields import Field, Payload, replaced
from .judge import shown, strange, vocabulary, written
from .wiretap import Channel, Conversation, Played

PATIENCE = 60  # seconds for a run, of which none waits for anything
BUSY = 5  # seconds of processor time for one
ANSWER = "1"  # seconds for an answer (Fabric's -T)


@dataclass(frozen=True)
class Step:
    """A command line on a cluster, and what its machines said."""

    name: str
    arguments: Sequence[str]
    inventory: str  # hosts.toml before it
    said: Sequence[Conversation]
    shows: str = ""  # among what it prints


@dataclass(frozen=True)
class Place:
    """Where in a step something hostile stands."""

    conversation: int
    part: int
    field: Field


class _Stuck(BaseException):
    """A run that does not end."""


class Stage:
    """A directory and a home for the runs of this process, which are played and not made."""

    def __init__(self, root: Path, key: Path) -> None:
        self._key = key
        self.dir, self.home = root / "dir", root / "home"
        self._words: dict[str, frozenset[str]] = {}

    def _prepare(self, inventory: str) -> None:
        for place in (self.dir, self.home):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        (self.dir / "hosts.toml").write_text(inventory)
        shutil.copy(self._key, self.dir)
        os.chdir(self.dir)
        os.environ["HOME"] = str(self.home)

    def run(
        self, step: Step, place: Place | None = None, payload: Payload | None = None
    ) -> list[str]:
        """Play a step; what is not as it has to be, a line each."""
        self._prepare(step.inventory)
        said = list(step.said)
        victim = ""
        if place is not None and payload is not None:
            held = said[place.conversation]
            victim = held.host
            parts = list(held.said)
            parts[place.part] = replaced(parts[place.part], place.field, payload)
            said[place.conversation] = replace(held, said=parts)
        played = Played(said)
        started = time.process_time()
        out, crashed = _fab(step.arguments, played)
        complaints = [*crashed]
        if place is None and step.shows not in out:
            complaints.append(f"played as it was, it does not show {step.shows!r}: {out[-200:]!r}")
        if (busy := time.process_time() - started) > BUSY:
            complaints.append(f"slow: {busy:.1f} s of processor time")
        complaints += shown(out)
        known = self._known(step)
        for host, text in played.sent:
            if host != victim:
                complaints += [f"sent to {host}: {word}" for word in strange(text, known)]
        complaints += [line for file in self._files() for line in written(file)]
        return complaints

    def _known(self, step: Step) -> frozenset[str]:
        if step.name not in self._words:
            told = (line for c in step.said for line in c.told)
            texts = [step.inventory, *(c.script for c in step.said), *told]
            self._words[step.name] = vocabulary(texts)
        return self._words[step.name]

    def _files(self) -> Iterator[Path]:
        for root in (self.dir, self.home):
            yield from (p for p in root.rglob("*") if p.is_file() and p.name != self._key.name)


def _fab(arguments: Sequence[str], played: Played) -> tuple[str, list[str]]:
    """Run fab here, on machines that are played; what it prints, and how it crashes."""
    from fabric.main import program

    crashed: list[str] = []
    where = ["--search-root", str(PROJECT), "-T", ANSWER]

    def in_thread(args: threading.ExceptHookArgs) -> None:
        crashed.append(f"in a thread: {args.exc_type.__name__}: {str(args.exc_value)[:200]!a}")

    buffer = io.BytesIO()
    text = io.TextIOWrapper(buffer, encoding="utf-8", errors="surrogateescape", write_through=True)
    with _in_place(played), _bounded(), _streams(text):
        hook, threading.excepthook = threading.excepthook, in_thread
        try:
            program.run(["fab", *where, *arguments], exit=False)
        except _Stuck:
            crashed.append(f"it does not end within {PATIENCE} s")
        except SystemExit as error:
            if error.code not in (0, 1, 2, 3, 4, 5, 130):
                crashed.append(f"it ends with {error.code!a}")
        except BaseException as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            crashed.append(
                f"{type(error).__name__} in {Path(at.filename).name}, {at.name}:"
                f" {str(error)[:200]!a}"
            )
        finally:
            threading.excepthook = hook
    text.flush()
    return buffer.getvalue().decode("utf-8", "surrogateescape"), crashed


@contextmanager
def _in_place(played: Played) -> Iterator[None]:
    """Have connections lead to the machines that are played; a watch ends after two looks."""
    from tasks.rollout import watch as watching

    class_: Any = Connection
    module: Any = watching
    real = (class_.open, class_.create_session, module.watch)
    looks: dict[str, int] = {}

    def often(fleet: Any, _every: float, say: Any, table: Any = None) -> None:
        hosts = {m.public_ip for m in fleet.cluster.machines}

        def after(host: str) -> None:
            looks[host] = looks.get(host, 0) + 1
            if hosts and all(looks.get(h, 0) > 2 for h in hosts):
                hosts.clear()
                os.kill(os.getpid(), signal.SIGINT)

        played.after = after
        real[2](fleet, 0.01, say, table)

    def session(connection: Connection) -> Channel:
        return played.channel(connection.host)

    class_.open = lambda _: None
    class_.create_session = session
    module.watch = often
    try:
        yield
    finally:
        class_.open, class_.create_session, module.watch = real


@contextmanager
def _bounded() -> Iterator[None]:
    """End what does not end by itself; leave no signal noted for the next run."""

    def ring(*_: object) -> None:
        raise _Stuck

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in signals}
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
        gc.collect(0)


@contextmanager
def _streams(text: io.TextIOWrapper) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = text
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
