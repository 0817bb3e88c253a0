"""The cluster as hosts.toml describes it: machines, their addresses, how to log in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.common.values import Address, Network

Role = Literal["worker", "controller"]
HostKeys = Literal["strict", "accept-new", "off"]
Persist = Literal["none", "auto"]  # whether routes survive a reboot
Routing = Literal["static", "bgp"]
Provider = Literal["hetzner", "aws"]  # whose networks can be given routes; tasks/networks has each


@dataclass(frozen=True)
class Ssh:
    """How to log in to the machines.

    For a value of None, ~/.ssh/config is used; else the user is root, the port 22.
    """

    user: str | None = None
    port: int | None = None
    key_file: Path | None = None
    host_keys: HostKeys = "accept-new"
    known_hosts: Path = Path("known_hosts")  # the file where accept-new records new keys
    operators_own: bool = True  # use the operator's ssh_config, agent, known_hosts, default keys


@dataclass(frozen=True)
class Machine:
    """One machine: a worker owns pod CIDRs, a controller owns none.

    `internal_ips` and `pod_cidrs` hold at most one value per address family. Where they are empty
    on a worker, the worker itself is asked for them.
    """

    name: str
    role: Role
    public_ip: str  # an address or a host name, which ssh connects to
    internal_ips: tuple[Address, ...] = ()
    pod_cidrs: tuple[Network, ...] = ()

    def internal_ip(self, family: int) -> Address | None:
        """The address that other machines use as next hop, for IP version 4 or 6."""
        return next((ip for ip in self.internal_ips if ip.version == family), None)


@dataclass(frozen=True)
class Router:
    """A router outside the cluster with which every machine speaks BGP."""

    address: Address
    as_number: int
    accept: tuple[Network, ...] = ()  # the prefixes that machines accept from it


@dataclass(frozen=True)
class Bgp:
    """How the machines exchange pod CIDRs by BGP (RFC 4271)."""

    as_number: int = 64512  # private use (RFC 6996)
    reflectors: tuple[str, ...] = ()  # names; empty: a full mesh, or chosen in a large cluster
    password_file: Path | None = None  # of TCP MD5 signatures (RFC 2385)
    bfd: bool = False  # Bidirectional Forwarding Detection (RFC 5880)
    port: int = 179
    routers: tuple[Router, ...] = ()
    password: str = field(default="", repr=False)  # what password_file holds, once it is read


@dataclass(frozen=True)
class ProviderNetwork:
    """The provider's network between the machines, which routes packets by a table of its own.

    `name` is what the provider's API calls it: a network at Hetzner, a route table at AWS.
    `memory` is the file that says which of its routes this tool added.
    """

    provider: Provider
    name: str
    memory: Path = Path("hosts.network.json")

    def __str__(self) -> str:
        """The network for people."""
        return f"{self.name} ({self.provider})"


@dataclass(frozen=True)
class Cluster:
    """The whole hosts.toml. `machines` are in the file's order, workers before controllers."""

    path: Path
    pod_networks: tuple[Network, ...]
    machines: tuple[Machine, ...]
    node_networks: tuple[Network, ...] = ()
    ssh: Ssh = Ssh()
    persist: Persist = "none"
    bgp: Bgp | None = None  # None: static routes
    network: ProviderNetwork | None = None  # None: the machines are neighbours on a link

    @property
    def workers(self) -> tuple[Machine, ...]:
        """The machines that own pod CIDRs."""
        return tuple(m for m in self.machines if m.role == "worker")

    def machine(self, name: str) -> Machine:
        """The machine of that name; KeyError if there is none."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)
