"""The cluster as hosts.toml describes it: machines, their addresses, how to log in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.common.values import Address, Network

Role = Literal["worker", "controller"]
HostKeys = Literal["strict", "accept-new", "off"]
Persist = Literal["none", "auto"]  # whether routes outlive a reboot


@dataclass(frozen=True)
class Ssh:
    """How to log in on the machines.

    What is None is left to ~/.ssh/config, and where that is silent too to user root, port 22.
    """

    user: str | None = None
    port: int | None = None
    key_file: Path | None = None
    host_keys: HostKeys = "accept-new"
    known_hosts: Path = Path("known_hosts")  # where accept-new writes the keys it learns
    operators_own: bool = True  # use the operator's ssh_config, agent, known_hosts, default keys


@dataclass(frozen=True)
class Machine:
    """One machine: a worker owns pod CIDRs, a controller owns none.

    `internal_ips` and `pod_cidrs` hold at most one value per address family;
    empty on a worker, they are to be found on the machine itself.
    """

    name: str
    role: Role
    public_ip: str  # an address or a host name: where ssh goes
    internal_ips: tuple[Address, ...] = ()
    pod_cidrs: tuple[Network, ...] = ()

    def internal_ip(self, family: int) -> Address | None:
        """The address the others use as next hop, for IP version 4 or 6."""
        return next((ip for ip in self.internal_ips if ip.version == family), None)


@dataclass(frozen=True)
class Cluster:
    """The whole of hosts.toml; `machines` in the file's order, workers before controllers."""

    path: Path
    pod_networks: tuple[Network, ...]
    machines: tuple[Machine, ...]
    node_networks: tuple[Network, ...] = ()
    ssh: Ssh = Ssh()
    persist: Persist = "none"

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
