"""Files put in place at once: whoever reads one sees the old text or the new, never a part."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .exits import Stop


@contextmanager
def replacing(path: Path, text: str) -> Iterator[Path]:
    """Put a text in the place of a file when the block ends well, its mode and owner kept.

    The block is given the file that will take the place, to look at; what it raises leaves
    everything as before. Raises Stop where the path cannot be written.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            _keep_owner(file.fileno(), target)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise Stop(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
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
        with tempfile.NamedTemporaryFile(prefix=f".{target.name}.", dir=target.parent) as file:
            _keep_owner(file.fileno(), target)
    except OSError as error:
        raise Stop(f"{path}: cannot be written: {error.strerror}") from None


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
    os.fchmod(descriptor, old.st_mode & 0o7777)
