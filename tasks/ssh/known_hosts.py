"""Host keys: which key a host must show, by the known_hosts files.

The format is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. A line that cannot be read is
skipped, as OpenSSH does. Paramiko's reader would skip the whole file.
"""

import base64
import errno
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock

from paramiko import MissingHostKeyPolicy, PKey, SSHClient, SSHException

from tasks.common.errors import Stop
from tasks.common.files import content
from tasks.inventory.model import HostKeys

MAX_BYTES = 64 << 20  # bytes of a known_hosts file

# ssh_config(5), StrictHostKeyChecking; `ask` is strict, since nobody can be asked for each of many.
_THEIRS: dict[str, HostKeys] = {"accept-new": "accept-new", "no": "off", "off": "off", "": "off"}
_STRICTER: tuple[HostKeys, ...] = ("off", "accept-new", "strict")


class HostKeyRefused(SSHException):
    """The host showed a key that must not be trusted; the message says why and what to do."""


@dataclass(frozen=True)
class Line:
    """One line of a known_hosts file."""

    marker: str  # "", "@revoked" or "@cert-authority"
    hosts: str
    type: str
    key: str  # base64
    place: str  # file:line

    def names(self, host: str) -> bool:
        """Whether the line is about this host, written as `host` or `[host]:port`."""
        if self.hosts.startswith("|1|"):
            return _hash_matches(self.hosts, host)
        patterns = self.hosts.lower().split(",")
        if any(p.startswith("!") and fnmatchcase(host.lower(), _glob(p[1:])) for p in patterns):
            return False
        return any(fnmatchcase(host.lower(), _glob(p)) for p in patterns)


def _glob(pattern: str) -> str:
    return pattern.replace("[", "[[]")  # "[host]:port" is meant literally; only * and ? are not


def _hash_matches(hashed: str, host: str) -> bool:
    try:
        _, _, salt, digest = hashed.split("|")
        wanted = base64.b64decode(digest)
        found = hmac.new(base64.b64decode(salt), host.lower().encode(), hashlib.sha1).digest()
    except ValueError:
        return False
    return hmac.compare_digest(wanted, found)


def read_lines(files: Iterable[Path]) -> list[Line]:
    """All readable lines of the files that are there; Stop where one is too large to be read."""
    lines = []
    for file in files:
        try:
            text = content(file, MAX_BYTES).decode(errors="replace")
        except OSError as error:
            if error.errno == errno.EFBIG:  # it may hold what hosts are known by
                raise Stop(f"{file}: cannot be read: {error.strerror}") from None
            continue
        for number, text_line in enumerate(text.splitlines(), 1):
            words = text_line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) >= 3 and not words[0].startswith("#"):
                hosts, kind, key = words[:3]
                if _is_key(kind, key):
                    lines.append(Line(marker, hosts, kind, key, f"{file}:{number}"))
    return lines


def _is_key(kind: str, key: str) -> bool:
    """Whether this is a public key of that type: it starts with its type's name (RFC 4253, 6.6)."""
    try:
        blob = base64.b64decode(key, validate=True)
    except ValueError:
        return False
    return blob[4:].startswith(kind.encode()) and int.from_bytes(blob[:4], "big") == len(kind)


class KnownHosts:
    """The known host keys, and the rule for unknown ones."""

    def __init__(self, mode: HostKeys, read: Iterable[Path], learn: Path) -> None:
        """`mode`: what hosts.toml says; `read`: the files consulted; `learn`: the file that
        accept-new writes to.
        """
        self._mode = mode
        self._learn = learn
        self._lock = Lock()
        self._by_name: dict[str, list[Line]] = {}  # where a line names its hosts plainly
        self._others: list[Line] = []  # hashed names, and patterns
        for line in read_lines([*read, learn]):
            self._hold(line)

    def _hold(self, line: Line) -> None:
        if any(sign in line.hosts for sign in "|*?!"):
            self._others.append(line)
            return
        for name in line.hosts.lower().split(","):
            self._by_name.setdefault(name, []).append(line)

    def _about(self, host: str) -> list[Line]:
        """The lines about a host, written as `host` or `[host]:port`."""
        named = self._by_name.get(host.lower(), [])
        return [*named, *(line for line in self._others if line.names(host))]

    def types(self, host: str) -> list[str]:
        """The key types known for a host: what to ask it for first."""
        return [line.type for line in self._about(host) if not line.marker]

    def policy(self, theirs: str = "") -> MissingHostKeyPolicy:
        """What a paramiko client asks about every key; it is given no known hosts itself.

        `theirs`: the StrictHostKeyChecking of ssh_config, if it says any.
        """
        return _Policy(self, theirs)

    def check(self, host: str, key: PKey, theirs: str = "") -> None:
        """Accept the key, learn it, or raise HostKeyRefused: as the stricter of both files says."""
        mode = max(self._mode, _THEIRS.get(theirs.lower(), "strict"), key=_STRICTER.index)
        if mode == "off":
            return
        with self._lock:
            self._check(host, key, mode, theirs)

    def _check(self, host: str, key: PKey, mode: HostKeys, theirs: str) -> None:
        about = self._about(host)
        shown = f"{key.get_name()} {_fingerprint(key.get_base64())}"
        for line in about:
            if line.marker == "@revoked" and line.key == key.get_base64():
                raise HostKeyRefused(f"its host key {shown} is revoked in {line.place}")
        known = [line for line in about if not line.marker]
        if any(line.key == key.get_base64() for line in known):
            return
        if known:
            old = next((line for line in known if line.type == key.get_name()), known[0])
            others = ", ".join(line.place for line in known if line is not old)
            raise HostKeyRefused(
                f"its HOST KEY HAS CHANGED: it shows {shown}, but {old.place} has"
                f" {old.type} {_fingerprint(old.key)}. Somebody may be in between, or the"
                f" machine was rebuilt: if you know that it was, delete that line"
                f"{f', and {others}' if others else ''}"
            )
        if any(line.marker == "@cert-authority" for line in about):
            raise HostKeyRefused(
                "it is known by a certificate authority only, which is not supported here:"
                f" add its own key with ssh-keyscan to {self._learn}"
            )
        if mode == "strict":
            ours = "host_keys is strict in hosts.toml"
            why = ours if self._mode == "strict" else f"ssh_config: StrictHostKeyChecking {theirs}"
            raise HostKeyRefused(
                f"its host key {shown} is not known ({why}): add it to {self._learn}, for example"
                " with ssh-keyscan"
            )
        self._add(host, key)

    def _add(self, host: str, key: PKey) -> None:
        text = f"{host} {key.get_name()} {key.get_base64()}\n"
        try:
            descriptor = os.open(self._learn, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "rb+") as file:
                held = file.read()
                torn = b"\n" if held and not held.endswith(b"\n") else b""
                file.write(torn + text.encode())
        except OSError as error:
            raise HostKeyRefused(
                f"its host key cannot be kept in {self._learn}: {error}"
            ) from error
        self._hold(Line("", host, key.get_name(), key.get_base64(), str(self._learn)))


class _Policy(MissingHostKeyPolicy):
    def __init__(self, known: KnownHosts, theirs: str) -> None:
        self._known = known
        self._theirs = theirs

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        self._known.check(hostname, key, self._theirs)


def _fingerprint(key: str) -> str:
    """The fingerprint as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
