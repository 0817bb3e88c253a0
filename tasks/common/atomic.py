"""Replaces files atomically: a reader sees the whole old text or the whole new text.

The new text is written to a temporary file in the same directory. The writer holds a lock (flock)
on that file while it runs. An unlocked temporary file is left over from a writer that was killed,
and the next writer removes it.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import Stop

SUFFIX = ".unfinished"


@contextmanager
def replacing(path: Path, text: str) -> Iterator[None]:
    """Replace the text of a file when the block ends without an exception.

    The file keeps its mode and owner. If the block raises, the file does not change. Raises Stop
    if the path cannot be written.
    """
    target = _target(path)
    try:
        with _beside(target) as file:
            _keep_owner(file.fileno(), target)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            yield
            Path(file.name).replace(target)
    except OSError as error:
        raise Stop(f"{path}: cannot be written: {error.strerror}") from None
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _target(path: Path) -> Path:
    """The file that a path leads to, so that a symbolic link stays a link.

    Other paths stay as they are: one through /proc/PID/root has no other name.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def check_writable(path: Path) -> None:
    """Raise Stop if `replacing` could not write this path, before there is anything to write."""
    target = _target(path)
    try:
        if target.exists() and not target.is_file():
            raise Stop(f"{path}: cannot be written: not a file; name a file")
        with _beside(target) as file:
            _keep_owner(file.fileno(), target)
    except OSError as error:
        raise Stop(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _beside(target: Path) -> Iterator[IO[str]]:
    """A new file in the target's directory. After the block it is removed unless it was renamed."""
    _sweep(target)
    file = _locked(target)
    try:
        yield file
    finally:
        Path(file.name).unlink(missing_ok=True)
        file.close()


def _locked(target: Path) -> IO[str]:
    """A new temporary file, open for writing and locked. The caller closes it."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  # closed by the caller
            "w",
            encoding="utf-8",
            newline="",
            prefix=f".{target.name}.",
            suffix=SUFFIX,
            dir=target.parent,
            delete=False,
        )
        with suppress(OSError):  # a file system without locks: _sweep removes nothing there either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another writer removed it before it was locked


def _sweep(target: Path) -> None:
    """Remove the temporary files that killed writers left in the target's directory."""
    left = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(SUFFIX)}")
    with suppress(OSError):  # the directory may not be readable
        for path in target.parent.iterdir():
            if left.fullmatch(path.name):
                _take_away(path)


def _take_away(path: Path) -> None:
    """Remove a temporary file unless a running writer holds its lock."""
    with suppress(OSError):  # its writer still runs, or another user owns it
        if stat.S_ISREG(path.lstat().st_mode):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _keep_owner(descriptor: int, target: Path) -> None:
    """Give the new file the target's owner and mode; for a new target, the mode of the umask."""
    try:
        old = target.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, old.st_mode & 0o777)
