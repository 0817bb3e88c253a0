"""The twins that are kept up, in a directory that only root writes: a file for each hosts.toml.

A file holds the pid of the twin's PID 1 and when that started. For a pid alone may be another's
by now, and what a process calls itself is its own word.
"""

import errno
import fcntl
import hashlib
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.common.errors import Stop

DIRECTORY = Path("/run/pod-routes-lab")
MOMENT = 1.0  # seconds of waiting that need no word


@dataclass(frozen=True)
class Process:
    """A process held by its directory in /proc, which is no other's when the pid is reused."""

    pid: int
    descriptor: int
    started: int  # clock ticks after boot

    @property
    def proc(self) -> Path:
        """Its directory in /proc, for this process and those it starts."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")

    def runs(self) -> bool:
        """Whether it has not ended; nothing is left of one that nobody has waited for."""
        try:
            return _stat(self.descriptor)[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def end(self) -> None:
        """Kill it, and return when it has ended; once is enough."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
        while self.runs():
            time.sleep(0.01)


def hold(pid: int) -> Process:
    """The process that has this pid now; FileNotFoundError or ProcessLookupError if none has."""
    descriptor = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return Process(pid, descriptor, int(_stat(descriptor)[19]))


def _stat(descriptor: int) -> list[str]:
    """Field 3 of proc_pid_stat(5) and those after it; the second may hold any text."""
    file = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=descriptor)
    with os.fdopen(file, errors="replace") as text:
        return text.read().rpartition(")")[2].split()


def find(inventory: Path) -> Process | None:
    """PID 1 of the twin that is kept up for a hosts.toml, if there is one.

    Raises Stop where others than root could have written what stands in the directory.
    """
    try:
        with os.fdopen(_opened(inventory, os.O_RDONLY), encoding="ascii") as file:
            said = re.fullmatch(r"([0-9]{1,10}) ([0-9]{1,19})\n", file.read(64))
        process = hold(int(said[1])) if said else None
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # it has ended, there was none, or it is root's to know
    right = said and process and process.started == int(said[2]) and process.runs()
    return process if right else None


def end(inventory: Path) -> bool:
    """End the twin of a hosts.toml, and return when nothing of it is left; False: there is none."""
    with locked(inventory):
        process = find(inventory)
        if process is not None:
            process.end()
    return process is not None


def note(inventory: Path, process: Process) -> None:
    """Keep in mind that this is PID 1 of a hosts.toml's twin."""
    _make_directory()
    with os.fdopen(_opened(inventory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
        file.write(f"{process.pid} {process.started}\n")


@contextmanager
def locked(inventory: Path) -> Iterator[None]:
    """Let nobody else begin or end the twin of a hosts.toml; where somebody does, wait.

    What is noted of one that has ended goes with the block.
    """
    descriptor = _lock(inventory)
    try:
        yield
    finally:
        if find(inventory) is None:
            (DIRECTORY / _name(inventory)).unlink(missing_ok=True)
            with suppress(OSError):  # those of other twins are in it
                DIRECTORY.rmdir()
        os.close(descriptor)


def _lock(inventory: Path) -> int:
    while True:
        _make_directory()
        try:
            descriptor = _opened(inventory, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # who took the last file away takes the directory too
            continue
        _wait(descriptor, inventory)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # taken away meanwhile


def _wait(descriptor: int, inventory: Path) -> None:
    deadline = time.monotonic() + MOMENT
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
    print(f"another lab.up or lab.down of {inventory} is at work: waiting", file=sys.stderr)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _make_directory() -> None:
    try:
        with suppress(FileExistsError):
            DIRECTORY.mkdir(mode=0o700)
    except OSError as error:
        raise Stop(f"{DIRECTORY}: cannot be made: {error.strerror}") from None


def _opened(inventory: Path, flags: int) -> int:
    """A descriptor of the file for a hosts.toml; Stop where the directory is not root's alone."""
    try:
        directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise Stop(f"{DIRECTORY}: not a directory; take it away") from None
    try:
        found = os.fstat(directory)
        if found.st_uid != 0 or stat.S_IMODE(found.st_mode) & 0o077:
            raise Stop(f"{DIRECTORY}: others than root may write or read it; take it away")
        return os.open(
            _name(inventory), flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
        )
    finally:
        os.close(directory)


def _name(inventory: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(inventory))).hexdigest()
