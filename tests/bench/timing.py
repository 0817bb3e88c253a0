"""Timing command lines as whole processes, and what came of many rounds."""

import fcntl
import os
import pty
import statistics
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """What one run took."""

    seconds: float
    megabytes: float  # of memory, at its peak


@dataclass(frozen=True)
class Command:
    """A command line to be timed; `typed` is typed when it asks for something in its terminal."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    typed: str = ""
    status: int = 0


def take(command: Command) -> Taken:
    """Run a command line and say what it took; RuntimeError with its words where it fails."""
    leader, follower = pty.openpty() if command.typed else (-1, -1)
    log = command.cwd / "timed.log"
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        _become(command, log, follower)
    if command.typed:
        os.read(leader, 1 << 10)  # the question
        os.write(leader, command.typed.encode())
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    for descriptor in {leader, follower} - {-1}:
        os.close(descriptor)
    if os.waitstatus_to_exitcode(status) != command.status:
        raise RuntimeError(f"{' '.join(command.argv)[:200]}: {log.read_text()[-1000:]}")
    return Taken(seconds, usage.ru_maxrss / 1024)


def _become(command: Command, log: Path, terminal: int) -> None:
    """Become the command, in a session of its own, its output in a file."""
    os.setsid()
    if terminal >= 0:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.chdir(command.cwd)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(terminal if terminal >= 0 else os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    try:
        os.execvpe(command.argv[0], list(command.argv), dict(command.env))  # noqa: S606
    finally:
        os._exit(127)


class Table:
    """What many rounds took, by name, in the order of the first round."""

    def __init__(self, rest: Callable[[], None]) -> None:
        """`rest` waits, before each run, until nothing else goes on."""
        self._rest = rest
        self._taken: dict[str, list[Taken]] = {}

    def time(self, name: str, command: Command) -> None:
        """Time one run, once a round."""
        self._rest()
        self._taken.setdefault(name, []).append(take(command))

    @property
    def names(self) -> list[str]:
        """All that was timed."""
        return list(self._taken)

    def seconds(self, name: str) -> tuple[float, float, float]:
        """The median, the least and the most, in seconds."""
        seconds = [taken.seconds for taken in self._taken[name]]
        return statistics.median(seconds), min(seconds), max(seconds)

    def median(self, name: str) -> float:
        """The median, in seconds."""
        return self.seconds(name)[0]

    def ratio(self, name: str, to: str) -> float:
        """What one took for what another did in the same round: the median of the rounds."""
        pairs = zip(self._taken[name], self._taken[to], strict=True)
        return statistics.median(one.seconds / other.seconds for one, other in pairs)

    def megabytes(self, name: str) -> float:
        """The most memory that any of its runs took."""
        return max(taken.megabytes for taken in self._taken[name])
