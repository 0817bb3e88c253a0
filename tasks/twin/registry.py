"""The record of twins that are kept up: a file for each hosts.toml, in a directory of root's.

A file holds the pid of the twin's PID 1 and its start time. Both are needed, because the kernel
reuses pids, and any process can give itself any name.
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
MOMENT = 1.0  # seconds to wait for the lock before a message says so


@dataclass(frozen=True)
class Process:
    """A process, held by its directory in /proc. That never becomes another process's directory."""

    pid: int
    descriptor: int
    started: int  # clock ticks after boot

    @property
    def proc(self) -> Path:
        """The path of its directory in /proc, for this process and its children."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")

    def runs(self) -> bool:
        """Whether it is running. A zombie is not."""
        try:
            return _stat(self.descriptor)[0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def end(self) -> None:
        """Kill it. Returns when it has ended. May be called again."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
        while self.runs():
            time.sleep(0.01)


def hold(pid: int) -> Process:
    """The process with this pid. Raises FileNotFoundError or ProcessLookupError without one."""
    descriptor = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return Process(pid, descriptor, int(_stat(descriptor)[19]))


def _stat(descriptor: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on. The second may hold any text."""
    file = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=descriptor)
    with os.fdopen(file, errors="replace") as text:
        return text.read().rpartition(")")[2].split()


def find(inventory: Path) -> Process | None:
    """PID 1 of the twin that is kept up for a hosts.toml, None if there is none.

    Raises Stop where users other than root can write to the directory of records.
    """
    try:
        with os.fdopen(_opened(inventory, os.O_RDONLY), encoding="ascii") as file:
            said = re.fullmatch(r"([0-9]{1,10}) ([0-9]{1,19})\n", file.read(64))
        process = hold(int(said[1])) if said else None
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # no twin, or the user is not root
    right = said and process and process.started == int(said[2]) and process.runs()
    return process if right else None


def end(inventory: Path) -> bool:
    """Stop the twin of a hosts.toml. Returns False if there is none, else True when it is gone."""
    with locked(inventory):
        process = find(inventory)
        if process is not None:
            process.end()
    return process is not None


def record(inventory: Path, process: Process) -> None:
    """Record a process as PID 1 of a hosts.toml's twin."""
    _make_directory()
    with os.fdopen(_opened(inventory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
        file.write(f"{process.pid} {process.started}\n")


@contextmanager
def locked(inventory: Path) -> Iterator[None]:
    """Hold the lock for starting and stopping the twin of a hosts.toml. Waits for it.

    The record of a twin that has ended is removed at the end of the block.
    """
    descriptor = _lock(inventory)
    try:
        yield
    finally:
        if find(inventory) is None:
            (DIRECTORY / _name(inventory)).unlink(missing_ok=True)
            with suppress(OSError):  # not empty: other twins are up
                DIRECTORY.rmdir()
        os.close(descriptor)


def _lock(inventory: Path) -> int:
    while True:
        _make_directory()
        try:
            descriptor = _opened(inventory, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:  # another process has just removed the directory
            continue
        _wait(descriptor, inventory)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process removed the file meanwhile


def _wait(descriptor: int, inventory: Path) -> None:
    deadline = time.monotonic() + MOMENT
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
    print(f"waiting for another lab.up or lab.down of {inventory}", file=sys.stderr)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _make_directory() -> None:
    try:
        with suppress(FileExistsError):
            DIRECTORY.mkdir(mode=0o700)
    except OSError as error:
        raise Stop(f"{DIRECTORY}: cannot be made: {error.strerror}") from None


def _opened(inventory: Path, flags: int) -> int:
    """A descriptor of the record for a hosts.toml. Raises Stop unless the directory is private."""
    try:
        directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise Stop(f"{DIRECTORY}: not a directory; remove it") from None
    try:
        found = os.fstat(directory)
        if found.st_uid != 0 or stat.S_IMODE(found.st_mode) & 0o077:
            raise Stop(f"{DIRECTORY}: users other than root have access to it; remove it")
        return os.open(
            _name(inventory), flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
        )
    finally:
        os.close(directory)


def _name(inventory: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(inventory))).hexdigest()
