"""A person's files, read: never a device, nor more than there is any use for."""

import errno
import os
import stat
from pathlib import Path

MOST = 4 << 20  # bytes: a hosts.toml of 20,000 machines


def content(path: Path, most: int = MOST) -> bytes:
    """What a file holds; OSError in plain words where it is no file, or holds more bytes."""
    _check(path.stat())  # before it is opened: that may wait, or set a device going
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor))
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"more than {most:,} bytes")
    return found


def _check(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a device or a pipe")
