"""Reads files that the operator names. It accepts only regular files of limited size.

Every other file raises OSError, whose `strerror` gives the reason.
"""

import base64
import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 4 << 20  # bytes: a hosts.toml of 20,000 machines
MAX_KEY = 1 << 16  # bytes of a private key


def content(path: Path, most: int = MAX_BYTES) -> bytes:
    """The content of a file. Raises OSError if it has more than `most` bytes."""
    check(path, most)  # first, because opening a pipe may block and opening a device may act on it
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor), most)
        found = file.read(most + 1)
    if len(found) > most:
        raise _too_large(most)
    return found


def check(path: Path, most: int = MAX_BYTES) -> None:
    """Raise OSError if the type or size of the file is not allowed. The file is not opened."""
    _check(path.stat(), most)


def private_key(path: Path) -> bytes:
    """The content of a private key file in OpenSSH or PEM format. Raises OSError otherwise."""
    found = content(path, MAX_KEY)
    if b"PRIVATE KEY-----" not in found:
        raise OSError(errno.EINVAL, "not a private key")
    return found


def public_key(path: Path) -> bytes:
    """The public key of a .pub file, as RFC 4253, 6.6 encodes it. Raises OSError otherwise."""
    words = content(path, MAX_KEY).split(maxsplit=2)
    try:
        kind, key = words[0], base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        raise OSError(errno.EINVAL, "not a public key") from None
    if not key.startswith(len(kind).to_bytes(4, "big") + kind):
        raise OSError(errno.EINVAL, "not a public key")
    return key


def check_key(path: Path) -> None:
    """Raise OSError if a file holds no key, neither a private one nor a public one.

    ssh-agent may hold the private half of a public key.
    """
    try:
        public_key(path)
    except OSError:
        private_key(path)


def _check(status: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a device or a pipe")
    if status.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"more than {most:,} bytes")
