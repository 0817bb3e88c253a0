"""The file of a private key: a regular one, and no larger than keys are."""

import stat
from pathlib import Path

MAX_KEY = 1 << 16  # bytes


class NoKey(Exception):
    """A file that holds no private key; the message goes on after its name."""


def checked(file: Path) -> None:
    """Raise NoKey where a file cannot hold a key: a device or a FIFO is not even opened.

    Raises OSError where it cannot be looked at.
    """
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise NoKey("is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise NoKey("is not a regular file")
    if found.st_size > MAX_KEY:
        raise NoKey(f"is larger than {MAX_KEY >> 10} KiB, as no private key is")


def read(file: Path) -> bytes:
    """The text of a private key, in the format of OpenSSH or PEM; raises NoKey, or OSError."""
    checked(file)
    with file.open("rb") as opened:
        data = opened.read(MAX_KEY + 1)
    if b"PRIVATE KEY-----" not in data or len(data) > MAX_KEY:
        raise NoKey("is not a private key that can be read")
    return data
