"""Logging in: makes connections from hosts.toml, Fabric's flags and ~/.ssh/config."""

import getpass
import os
import socket
from collections.abc import Callable
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from fabric import Config

from tasks.common.errors import Stop
from tasks.common.files import private_key
from tasks.common.terminal import is_interactive
from tasks.inventory.model import Cluster, Machine

from .connection import Bounded, Connection, JumpHost
from .known_hosts import KnownHosts

CONNECT_TIMEOUT = 10  # seconds, for each step of a connect; Fabric's -t overrides it


class Login:
    """Makes connections to a cluster's machines. Each key is read once, each jump host made once.

    Raises Stop if the operator's user has no name.
    """

    def __init__(self, cluster: Cluster, config: Config) -> None:
        try:
            getpass.getuser()  # Fabric and paramiko call this for every host
        except (KeyError, OSError):
            raise Stop(
                f"no user here has the number {os.getuid()}: give a name, for example with"
                " `LOGNAME=ops fab plan`"
            ) from None
        self._ssh = cluster.ssh
        self._config = config
        self._known_hosts = KnownHosts(
            cluster.ssh.host_keys, _operators_known_hosts(cluster), cluster.ssh.known_hosts
        )
        self._keys: dict[str, paramiko.PKey | None] = {}
        self._gateways: dict[str, JumpHost] = {}

    @cached_property
    def _timeout(self) -> int:
        asked = self._config.connect_kwargs.get("timeout") or self._config.timeouts.connect
        return int(asked or CONNECT_TIMEOUT)

    @property
    def gateways(self) -> list[JumpHost]:
        """The jump hosts of the connections made so far. A hop comes before the next one."""
        return list(self._gateways.values())

    def connection(self, machine: Machine) -> Connection:
        """A connection to a machine. It is not open yet. Raises Stop if a key cannot be read."""
        ssh = self._ssh
        theirs = self._config.base_ssh_config.lookup(machine.public_ip)
        jump = theirs.get("proxyjump")
        connection = Connection(
            machine.public_ip,
            user=ssh.user or theirs.get("user") or "root",
            port=ssh.port,
            config=self._config,
            gateway=None if jump is None else self._gateway(jump) or False,
            connect_timeout=self._timeout,
        )
        self._prepare(connection, [ssh.key_file] if ssh.key_file else [])
        return connection

    def _prepare(self, connection: Connection, key_files: list[Path]) -> None:
        """Set a connection's keys, timeouts and host key policy."""
        operators = self._ssh.operators_own
        asked = self._config.connect_kwargs.get("key_filename") or []
        theirs = connection.ssh_config.get("identityfile", [])
        files = [str(f) for f in key_files or asked or theirs]
        known = [key for key in map(self._key, files) if key is not None]
        timeout = connection.connect_timeout
        given = dict(self._config.connect_kwargs)
        given.pop("timeout", None)  # Fabric's -t; connection.connect_timeout has it already
        connection.connect_kwargs = {
            **given,
            "key_filename": None,
            "pkey": known[0] if known else None,
            "allow_agent": operators,
            "look_for_keys": operators and not files,
            "banner_timeout": timeout,
            "auth_timeout": timeout,
            "channel_timeout": timeout,
            "transport_factory": self._transport_factory(connection),
        }
        connection.client.set_missing_host_key_policy(
            self._known_hosts.policy(connection.ssh_config.get("stricthostkeychecking", ""))
        )

    def _transport_factory(self, connection: Connection) -> Callable[..., paramiko.Transport]:
        """Makes transports that prefer the host key types in known_hosts."""
        host, port = connection.host, connection.port
        types = self._known_hosts.types(host if port == 22 else f"[{host}]:{port}")

        def transport(sock: Any, **kwargs: Any) -> paramiko.Transport:
            if isinstance(sock, socket.socket) and sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made = paramiko.Transport(sock, packetizer_class=Bounded, **kwargs)
            options = made.get_security_options()
            wanted = {"ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"]}
            first = [
                name for t in types for name in wanted.get(t, [t]) if name in options.key_types
            ]
            rest = [name for name in options.key_types if name not in first]
            options.key_types = tuple(dict.fromkeys([*first, *rest]))
            return made

        return transport

    def _key(self, file: str) -> paramiko.PKey | None:
        """A private key, read once for all connections. None: use the agent, or no such file."""
        if file not in self._keys:
            self._keys[file] = self._read_key(Path(file).expanduser())
        return self._keys[file]

    def _read_key(self, file: Path) -> paramiko.PKey | None:
        """Read a private key and ask for its passphrase if needed. Raises Stop if that fails."""
        passphrase = self._config.connect_kwargs.get("passphrase")
        try:
            return _load(file, passphrase)
        except FileNotFoundError:
            return None  # ssh_config may name an IdentityFile that does not exist
        except _Encrypted:
            if self._ssh.operators_own and paramiko.Agent().get_keys():
                return None
            if not is_interactive():
                raise Stop(
                    f"{file}: the key has a passphrase, and there is no terminal to ask for it:"
                    " load it into ssh-agent"
                ) from None
        try:
            return _load(file, getpass.getpass(f"Passphrase for {file}: "))
        except EOFError:
            raise Stop(f"{file}: no passphrase was given") from None
        except _Encrypted:
            raise Stop(f"{file}: that is not its passphrase") from None

    def _gateway(self, jump: str) -> JumpHost | None:
        """The last jump host of a ProxyJump in ssh_config(5); None if it says "none".

        Each hop has one connection, which all machines behind it share.
        """
        if jump.lower() == "none":
            return None
        gateway = None
        hops = jump.split(",")
        for number, hop in enumerate(hops, 1):
            way = ",".join(hops[:number])
            if way not in self._gateways:
                made = JumpHost(
                    hop,
                    config=self._config,
                    gateway=gateway or False,
                    connect_timeout=self._timeout,
                )
                self._prepare(made, [])
                self._gateways[way] = made
            gateway = self._gateways[way]
        return gateway


class _Encrypted(Exception):
    """The key is encrypted, and the passphrase is missing or wrong."""


def _load(file: Path, passphrase: str | None) -> paramiko.PKey:
    """A private key, with its certificate if there is one beside it.

    Raises FileNotFoundError; _Encrypted if the passphrase does not fit; Stop for other errors.
    """
    try:
        key = _own_key(private_key(file), passphrase.encode() if passphrase else None)
        certificate = file.with_name(f"{file.name}-cert.pub")
        if certificate.is_file():
            key.load_certificate(str(certificate))
        return key
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Stop(f"{file}: cannot read the key: {error.strerror}") from error
    except (TypeError, paramiko.PasswordRequiredException) as error:
        raise _Encrypted from error
    except (ValueError, UnsupportedAlgorithm, paramiko.SSHException) as error:
        if passphrase:
            raise _Encrypted from error
        raise Stop(f"{file} is not a private key that can be read") from error


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


def _operators_known_hosts(cluster: Cluster) -> list[Path]:
    """The known_hosts files of ssh(1); none if the operator's own ssh files must not be used."""
    if not cluster.ssh.operators_own:
        return []
    return [Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts")]
