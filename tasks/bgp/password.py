"""The password of the sessions (TCP MD5 signatures, RFC 2385), in a file beside hosts.toml."""

import os
import re
import secrets
from hashlib import sha256
from pathlib import Path

from tasks.common.errors import Stop
from tasks.common.files import content

from .bird_conf import password_conf

LONGEST = 80  # bytes that the kernel takes: TCP_MD5SIG_MAXKEYLEN in tcp(7)

_PASSWORD = re.compile(rf"[!#-&(-\[\]-~]{{1,{LONGEST}}}")  # printable; no blank, quote or backslash


def read_password(file: Path) -> str:
    """The password in a file of one line; empty if there is no such file.

    Raises Stop where it cannot be read, and where BIRD or the kernel could not take it.
    """
    try:
        raw = content(file)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Stop(f"password_file: {file} cannot be read: {error.strerror}") from None
    password = raw.decode("ascii", "replace").removesuffix("\n")
    if not _PASSWORD.fullmatch(password):
        raise Stop(
            f"password_file: {file} must hold one line of 1 to {LONGEST} ASCII characters, without"
            " blanks, quotes and backslashes"
        )
    return password


def new_password() -> str:
    """A random password."""
    return secrets.token_urlsafe(32)


def write_password(file: Path, password: str) -> None:
    """Make the file, for its owner alone. Raises Stop if it is there, or cannot be made."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(f"{password}\n")
    except OSError as error:
        raise Stop(f"password_file: {file} cannot be made: {error.strerror}") from None


def checksum(password: str) -> str:
    """The SHA-256 of the file that a machine has of this password."""
    return sha256(f"{password_conf(password)}\n".encode()).hexdigest()
