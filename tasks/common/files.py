"""Reads files that the operator names: regular files of limited size only.

Any other file raises OSError, with a plain reason.
"""

import errno
import os
import stat
from pathlib import Path

MOST = 4 << 20  # bytes: a hosts.toml of 20,000 machines
MAX_KEY = 1 << 16  # bytes of a private key


def content(path: Path, most: int = MOST) -> bytes:
    """The content of a file; raises OSError where it has more than `most` bytes."""
    check(path, most)  # before it is opened: that may wait, or set a device going
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor), most)
        found = file.read(most + 1)
    if len(found) > most:
        raise _too_large(most)
    return found


def check(path: Path, most: int = MOST) -> None:
    """Raise OSError where `content` would, as far as that shows from outside."""
    _check(path.stat(), most)


def private_key(path: Path) -> bytes:
    """What the file of a private key holds, in the format of OpenSSH or PEM."""
    found = content(path, MAX_KEY)
    if b"PRIVATE KEY-----" not in found:
        raise OSError(errno.EINVAL, "not a private key")
    return found


def _check(status: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a device or a pipe")
    if status.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"more than {most:,} bytes")
