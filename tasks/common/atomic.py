"""Files put in place at once: whoever reads one sees the old text or the new, never a part.

The new text is written beside its place, into a file that is locked (flock) for as long as its
writer lives. One that is not locked is debris of a writer that was killed: the next takes it away.
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
    """Put a text in the place of a file when the block ends well, its mode and owner kept.

    What the block raises leaves everything as before. Raises Stop where the path cannot be written.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
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


def check_writable(path: Path) -> None:
    """Raise Stop where `replacing` could not put a file: before there is anything to write."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            raise Stop(f"{path}: cannot be written: not a file; name a file")
        with _beside(target) as file:
            _keep_owner(file.fileno(), target)
    except OSError as error:
        raise Stop(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _beside(target: Path) -> Iterator[IO[str]]:
    """A new file beside another, which is gone after the block unless it was renamed."""
    _sweep(target)
    file = _locked(target)
    try:
        yield file
    finally:
        Path(file.name).unlink(missing_ok=True)
        file.close()


def _locked(target: Path) -> IO[str]:
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
        with suppress(OSError):  # where there are no locks nothing is taken away either
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # taken away before it was locked


def _sweep(target: Path) -> None:
    """Take away what writers that were killed have left beside a file."""
    left = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(SUFFIX)}")
    with suppress(OSError):  # a directory may be closed to readers
        for path in target.parent.iterdir():
            if left.fullmatch(path.name):
                _take_away(path)


def _take_away(path: Path) -> None:
    with suppress(OSError):  # it is in use, or not ours
        if stat.S_ISREG(path.lstat().st_mode):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _keep_owner(descriptor: int, target: Path) -> None:
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
