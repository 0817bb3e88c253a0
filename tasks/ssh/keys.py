"""The operator's keys, from files and from ssh-agent. Each file is read once for all connections.

A file counts as IdentityFile of ssh_config(5) does: it holds a private key, or a public one whose
private half ssh-agent holds. A file that cannot be used is left out, with the reason.
"""

import base64
import getpass
import socket
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from paramiko.agent import AgentSSH

from tasks.common.errors import Stop
from tasks.common.files import MAX_KEY, content, private_key, public_key
from tasks.common.terminal import is_interactive

DEFAULTS = ("id_rsa", "id_ecdsa", "id_ed25519")  # in ~/.ssh, in the order of ssh_config(5)
AGENT_TIMEOUT = 30  # seconds for one answer of ssh-agent
_MAGIC = b"openssh-key-v1\0"  # PROTOCOL.key of OpenSSH


class Unusable(Exception):
    """A key file cannot be used: one line that names it and says why."""


class Missing(Unusable):
    """There is no such file. ssh_config may name some."""


class Encrypted(Exception):
    """The key is encrypted, and the passphrase is missing or wrong."""


@dataclass(frozen=True)
class Identity:
    """A key to log in with, and what messages call it."""

    name: str
    key: paramiko.PKey


class AgentKey(paramiko.AgentKey):
    """A key that ssh-agent holds."""

    def sign_ssh_data(self, data: Any, algorithm: str | None = None) -> Any:
        """A signature; where ssh-agent gives none, one that sshd refuses.

        An exception here would end the connection, on which the next key is to be tried.
        """
        try:
            return super().sign_ssh_data(data, algorithm)
        except (OSError, paramiko.SSHException):
            empty = paramiko.Message()
            empty.add_string(algorithm or self.get_name())
            empty.add_string(b"")
            return empty.asbytes()


class Agent(AgentSSH):
    """An ssh-agent. Each question goes over a connection of its own, so threads may ask at once."""

    def __init__(self, path: str) -> None:
        """`path`: its socket. An agent that is not there, or does not answer, holds no key."""
        super().__init__()
        self._path = path
        self.held: list[Identity] = []
        self._by_public: dict[bytes, AgentKey] = {}
        try:
            self._connect(None)  # type: ignore[attr-defined]  # paramiko's stubs lack it
        except (OSError, ValueError, paramiko.SSHException):
            return
        for key in self.get_keys():
            name = f'ssh-agent\'s {key.get_name()} "{key.comment}"'
            self._by_public[key.blob] = AgentKey(self, key.blob, key.comment)
            self.held.append(Identity(name, self._by_public[key.blob]))

    def key(self, public: bytes | None) -> paramiko.PKey | None:
        """The key with this public half (RFC 4253, 6.6), if it is held."""
        return self._by_public.get(public) if public else None

    def _send_message(self, msg: Any) -> Any:
        asking = AgentSSH()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(AGENT_TIMEOUT)
            connection.connect(self._path)
            asking._conn = connection  # type: ignore[attr-defined]
            return asking._send_message(msg)  # type: ignore[attr-defined]


class Keys:
    """Reads the operator's keys, each once. Asks for each passphrase once."""

    def __init__(self, passphrase: str | None) -> None:
        """`passphrase`: given beforehand, for all keys that need one."""
        self._passphrase = passphrase
        self._read: dict[tuple[Path, Agent, bool], paramiko.PKey | Unusable] = {}
        self._agents: dict[str, Agent] = {}

    def agent(self, path: str) -> Agent:
        """The ssh-agent at a socket; none is there if the path is empty."""
        if path not in self._agents:
            self._agents[path] = Agent(path)
        return self._agents[path]

    def identities(
        self, file: Path, agent: Agent, certificates: Sequence[Path], ask: bool
    ) -> list[Identity]:
        """What a key file offers: its certificates, and then the key alone.

        A certificate may have expired where the key is accepted. `certificates`: files beside
        those whose names ssh_config(5) makes of the key's. `ask`: whether a passphrase may be asked
        for. Raises Unusable, and Stop if a wrong passphrase is typed.
        """
        about = (file, agent, ask)
        if about not in self._read:
            try:
                self._read[about] = self._key(*about)
            except Unusable as why:
                self._read[about] = why
        key = self._read[about]
        if isinstance(key, Unusable):
            raise key
        beside = [
            file.with_name(f"{name}-cert.pub")
            for name in dict.fromkeys([file.name, file.name.removesuffix(".pub")])
        ]
        signed = [(path, _certified(key, path)) for path in [*certificates, *beside]]
        found = [Identity(str(path), made) for path, made in signed if made is not None]
        return [*found, Identity(str(file), key)]

    def _key(self, file: Path, agent: Agent, ask: bool) -> paramiko.PKey:
        trouble: Unusable | None = None
        try:
            return load(file, None)
        except Encrypted:
            pass
        except Unusable as error:
            trouble = error
        held = agent.key(_public_half(file))
        if held is not None:
            return held
        if trouble is not None:
            raise trouble
        return self._unlock(file, agent, ask)

    def _unlock(self, file: Path, agent: Agent, ask: bool) -> paramiko.PKey:
        """An encrypted key, with the passphrase that was given or that is typed now."""
        if self._passphrase:
            try:
                return load(file, self._passphrase)
            except Encrypted:
                raise Unusable(f"{file}: the passphrase given is not that of this key") from None
        advice = "load it into ssh-agent, or add --prompt-for-passphrase in front of the task"
        if not ask or agent.held:
            raise Unusable(f"{file}: the key has a passphrase: {advice}")
        if not is_interactive():
            raise Unusable(
                f"{file}: the key has a passphrase, and there is no terminal to ask for it:"
                f" {advice}"
            )
        try:
            typed = getpass.getpass(f"Passphrase for {file}: ")
        except EOFError:
            typed = ""
        if not typed:
            raise Unusable(f"{file}: no passphrase was given")
        try:
            return load(file, typed)
        except Encrypted:
            raise Stop(f"{file}: that is not its passphrase") from None


def load(file: Path, passphrase: str | None) -> paramiko.PKey:
    """A private key. Raises Encrypted if the passphrase does not fit; Unusable for other errors."""
    try:
        return _own_key(private_key(file), passphrase.encode() if passphrase else None)
    except FileNotFoundError as error:
        raise Missing(f"{file}: there is no such file") from error
    except OSError as error:
        if is_public_key(file):
            raise Unusable(
                f"{file}: a public key, and ssh-agent does not hold its private half"
            ) from error
        raise Unusable(f"{file}: cannot read the key: {error.strerror}") from error
    except (TypeError, paramiko.PasswordRequiredException) as error:
        raise Encrypted from error
    except (ValueError, UnsupportedAlgorithm, paramiko.SSHException) as error:
        if passphrase:
            raise Encrypted from error
        raise Unusable(f"{file} is not a private key that can be read") from error


def is_public_key(file: Path) -> bool:
    """Whether a file holds a public key."""
    try:
        public_key(file)
    except OSError:
        return False
    return True


def _own_key(data: bytes, passphrase: bytes | None) -> paramiko.PKey:
    """A private key from a file in OpenSSH or PEM format.

    Paramiko's `from_path` is slow. It derives the key from the passphrase twice, which takes an
    eighth of a second each time. It also tests an RSA key's primes, which takes half a second for
    4096 bits. The operator's own key does not need that test.
    """
    key: PrivateKeyTypes
    try:
        key = serialization.load_ssh_private_key(
            data, passphrase, unsafe_skip_rsa_key_validation=True
        )
    except ValueError:
        key = serialization.load_pem_private_key(
            data, passphrase, unsafe_skip_rsa_key_validation=True
        )
    if isinstance(key, RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    plain = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    kind = paramiko.Ed25519Key if isinstance(key, Ed25519PrivateKey) else paramiko.ECDSAKey
    return kind.from_private_key(StringIO(plain.decode()))


def _public_half(file: Path) -> bytes | None:
    """The public half of a key, from its file or from the .pub beside it."""
    for path in (file, file.with_name(f"{file.name}.pub")):
        try:
            return public_key(path)
        except OSError:
            pass
        try:
            found = _public_part(private_key(path))
        except (OSError, ValueError, paramiko.SSHException):
            continue
        if found:
            return found
    return None


def _public_part(data: bytes) -> bytes | None:
    """What a private key in OpenSSH's format says in the clear (PROTOCOL.key of OpenSSH)."""
    _, begun, rest = data.partition(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    raw = base64.b64decode(rest.partition(b"-----END")[0])
    if not begun or not raw.startswith(_MAGIC):
        return None
    message = paramiko.Message(raw[len(_MAGIC) :])
    for _ in ("cipher", "key derivation", "its options"):
        message.get_binary()
    return message.get_binary() if message.get_int() == 1 else None


def _certified(key: paramiko.PKey, file: Path) -> paramiko.PKey | None:
    """The key with the certificate in a file; None if there is none for this key."""
    try:
        data = content(file, MAX_KEY)
        certificate = serialization.load_ssh_public_identity(data)
        if not isinstance(certificate, serialization.SSHCertificate):
            return None
        public = certificate.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        if public.split()[1] != base64.b64encode(key.asbytes()):
            return None
        if isinstance(key, AgentKey):
            made: paramiko.PKey = AgentKey(key.agent, key.blob, key.comment)
        else:
            made = copy(key)
        made.load_certificate(data.decode())
    except (OSError, ValueError, UnsupportedAlgorithm, paramiko.SSHException):
        return None
    return made
