"""Logging in: makes connections from hosts.toml, Fabric's flags and ~/.ssh/config."""

import getpass
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config

from tasks.common import values
from tasks.common.errors import Stop
from tasks.inventory.model import Cluster, Machine

from .authentication import Authentication
from .connection import Bounded, Connection, JumpHost
from .keys import DEFAULTS, Keys, Missing, Unusable
from .known_hosts import KnownHosts
from .proxy import expanded
from .proxy_jump import Hop, hops

# What SSHClient.connect takes of keys; Authentication takes its place.
_ABOUT_KEYS = ("pkey", "key_filename", "passphrase", "password", "allow_agent", "look_for_keys")
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
        self._ssh_config = copy(config.base_ssh_config)
        # Paramiko would replace %p with a port that hosts.toml may overrule, and leaves %% and %n.
        self._ssh_config.TOKENS_BY_CONFIG_KEY = {
            key: tokens
            for key, tokens in self._ssh_config.TOKENS_BY_CONFIG_KEY.items()
            if key not in ("proxycommand", "proxyjump")
        }
        self._known_hosts = KnownHosts(
            cluster.ssh.host_keys, _operators_known_hosts(cluster), cluster.ssh.known_hosts
        )
        self._keys = Keys(config.connect_kwargs.get("passphrase"))
        self._gateways: dict[tuple[Hop, int], JumpHost] = {}  # by hop and the identity of its way

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
        theirs = self._ssh_config.lookup(machine.public_ip)
        port = ssh.port or self._port(machine.public_ip, theirs)
        user = ssh.user or theirs.get("user") or "root"
        end = (theirs.get("hostname", machine.public_ip), port)
        connection = Connection(
            machine.public_ip,
            user=user,
            port=port,
            config=self._config,
            gateway=self._gateway(Hop(machine.public_ip, user, port), theirs, (end,)),
            forward_agent=self._forwards_agent(theirs),
            connect_timeout=self._timeout,
        )
        self._prepare(connection, [ssh.key_file] if ssh.key_file else [])
        return connection

    def _prepare(self, connection: Connection, key_files: list[Path]) -> None:
        """Set a connection's keys, timeouts and host key policy."""
        timeout = connection.connect_timeout
        given = dict(self._config.connect_kwargs)
        given.pop("timeout", None)  # Fabric's -t; connection.connect_timeout has it already
        for about_keys in _ABOUT_KEYS:
            given.pop(about_keys, None)
        connection.connect_kwargs = {
            **given,
            "auth_strategy": self._authentication(connection, key_files),
            "banner_timeout": timeout,
            "auth_timeout": timeout,
            "channel_timeout": timeout,
            "transport_factory": self._transport_factory(connection),
        }
        connection.client.set_missing_host_key_policy(
            self._known_hosts.policy(connection.ssh_config.get("stricthostkeychecking", ""))
        )

    def _authentication(self, connection: Connection, key_files: Sequence[Path]) -> Authentication:
        """What a connection logs in with: the files that are named, then the rest of ssh-agent.

        ssh(1) tries ssh-agent's other keys first, and sshd counts them (MaxAuthTries).
        Raises Stop if no key can be used, although there are files that should hold one.
        """
        operators = self._ssh.operators_own
        given = self._config.connect_kwargs
        theirs = connection.ssh_config if operators else {}
        named = [*key_files]
        if operators:
            named = [
                *self._config.authentication.identities,  # -i
                *key_files,
                *_listed(given.get("key_filename")),
                *_listed(theirs.get("identityfile")),
            ]
        files = [str(file) for file in named if str(file).lower() != "none"]
        if operators and not named and given.get("look_for_keys", True):
            files = [path for name in DEFAULTS if _home(path := f"~/.ssh/{name}").exists()]
        agent = self._keys.agent(_agent_socket(theirs, given) if operators else "")
        certificates = [_home(file) for file in _listed(theirs.get("certificatefile"))]
        identities, left_out = [], []
        for file in dict.fromkeys(map(_home, files)):
            try:
                identities += self._keys.identities(file, agent, certificates, ask=bool(named))
            except Unusable as why:
                left_out.append(why)
        if theirs.get("identitiesonly", "no").lower() != "yes":
            keys = [identity.key for identity in identities]
            identities += [other for other in agent.held if other.key not in keys]
        password = given.get("password")
        troubles = [str(why) for why in left_out if not isinstance(why, Missing)]
        if troubles and not identities and password is None:
            raise Stop("; ".join(troubles))
        return Authentication(connection.user, identities, [str(why) for why in left_out], password)

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

    def _gateway(
        self, to: Hop, theirs: Mapping[str, Any], passed: tuple[tuple[str, int], ...]
    ) -> JumpHost | str | bool | None:
        """What leads to a host: the last jump host of its ProxyJump, or its ProxyCommand.

        `theirs`: what ssh_config(5) says of the host. `passed`: hosts and ports on the way that are
        no jump host to themselves, because a pattern may match them too. Each hop has one
        connection, which all machines behind it share. False: there is none; None: as Fabric is
        configured. Raises Stop if the ProxyJump cannot be read.
        """
        jump = theirs.get("proxyjump")
        if jump is None:
            return theirs.get("proxycommand")
        if jump.lower() == "none":
            return False
        names = (to.host, to.host, to.port or 0, to.user or "")
        try:
            named = hops(expanded(jump, *names))
        except ValueError as why:
            raise Stop(f"ssh_config: ProxyJump of {to.host}: {why}") from None
        way: JumpHost | str | bool | None = False
        for number, hop in enumerate(named):
            of_hop = self._ssh_config.lookup(hop.host)
            port = hop.port or self._port(hop.host, of_hop)
            at = (of_hop.get("hostname", hop.host), port)
            if at in passed:
                break
            passed = (*passed, at)
            if number == 0:
                way = self._gateway(hop, of_hop, passed) or False
            way = self._jump_host(hop, port, of_hop, way)
        return way

    def _jump_host(
        self, hop: Hop, port: int, theirs: Mapping[str, Any], way: JumpHost | str | bool | None
    ) -> JumpHost:
        """The connection to a jump host, made once for each way to it."""
        key = (hop, id(way) if isinstance(way, JumpHost) else 0)
        if key not in self._gateways:
            made = JumpHost(
                hop.host,
                user=hop.user,
                port=port,
                config=self._config,
                gateway=way,
                forward_agent=self._forwards_agent(theirs),
                connect_timeout=self._timeout,
            )
            self._prepare(made, [])
            self._gateways[key] = made
        return self._gateways[key]

    def _port(self, host: str, theirs: Mapping[str, Any]) -> int:
        """The port of a host, by ssh_config(5) or else Fabric's configuration."""
        asked = str(theirs.get("port", self._config.port))
        try:
            return values.number(asked, 1, 65535)
        except ValueError as why:
            raise Stop(f"ssh_config: Port of {host}: {why}") from None

    def _forwards_agent(self, theirs: Mapping[str, Any]) -> bool:
        """Whether ssh-agent is forwarded. Another agent, which ssh_config(5) may name, is not."""
        asked = theirs.get("forwardagent")
        return bool(self._config.forward_agent) if asked is None else asked.lower() == "yes"


def _listed(value: Any) -> list[Any]:
    """A value of Fabric's configuration or of ssh_config that may be one or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _home(file: str) -> Path:
    """A path, with the user's home in place of ~ if there is one."""
    try:
        return Path(file).expanduser()
    except RuntimeError:
        return Path(file)


def _agent_socket(theirs: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The path of ssh-agent's socket, by IdentityAgent of ssh_config(5); "" for none."""
    asked = theirs.get("identityagent", "SSH_AUTH_SOCK")
    if asked.lower() == "none" or not given.get("allow_agent", True):
        return ""
    if asked == "SSH_AUTH_SOCK" or asked.startswith("$"):
        return os.environ.get(asked.lstrip("$").strip("{}"), "")
    return str(_home(asked))


def _operators_known_hosts(cluster: Cluster) -> list[Path]:
    """The known_hosts files of ssh(1); none if the operator's own ssh files must not be used."""
    if not cluster.ssh.operators_own:
        return []
    return [_home("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts")]
