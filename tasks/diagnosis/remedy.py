"""Remedies: what an administrator can do about a cause. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.common.values import Network

from .firewall import Drop

_SAVE = "netfilter-persistent save  # from the package iptables-persistent"
SYSCTLS = "/etc/sysctl.d/99-pod-routes.conf"  # where a remedy writes a permanent setting


@dataclass(frozen=True)
class Remedy:
    """Commands to type on a machine; its text is one line."""

    where: str  # a machine's name, or words such as "each of them"
    commands: tuple[str, ...]
    then: str = ""  # what to do afterwards that is not a command for this machine

    @property
    def steps(self) -> tuple[str, ...]:
        """The commands, and what to do after them."""
        return (*self.commands, self.then) if self.then else self.commands

    def __str__(self) -> str:
        return f"on {self.where}: {'; '.join(self.steps)}"


def set_sysctl(where: str, setting: str, value: int) -> Remedy:
    """Set a kernel setting, by its name in sysctl(8), now and at every boot."""
    return Remedy(where, _set_sysctl(setting, value))


def _set_sysctl(setting: str, value: int) -> tuple[str, str]:
    return f"echo {setting}={value} >>{SYSCTLS}", f"sysctl -p {SYSCTLS}"


def accept_packets(drop: Drop | None, pods: Sequence[Network], machine: str) -> Remedy | str:
    """Let packets from and to `pods` pass a firewall permanently.

    The remedy depends on the program that owns the rule. `drop` is None where the rule is unknown.
    """
    owners = drop.owners if drop else ()
    commands: list[str] = []
    if "ufw" in owners:
        commands += [f"ufw route allow {way} {n}" for n in pods for way in ("from", "to")]
    if "firewalld" in owners:
        commands += [f"firewall-cmd --permanent --zone=trusted --add-source={n}" for n in pods]
        commands.append("firewall-cmd --reload")
    if "Docker" in owners:
        # When Docker starts, it sets the policy DROP unless forwarding is on.
        six = drop is not None and drop.rule.startswith("ip6tables")
        setting = "net.ipv6.conf.all.forwarding" if six else "net.ipv4.ip_forward"
        commands.append(f"{'ip6tables' if six else 'iptables'} -P FORWARD ACCEPT")
        commands += _set_sysctl(setting, 1)
    if commands:
        return Remedy(machine, tuple(commands))
    networks = ", ".join(map(str, pods))
    if drop is not None and drop.hook != "forward":
        return f"accept packets from and to {networks} before that rule"
    if drop is not None and drop.rule.startswith("nft"):
        return (
            f"accept {networks} before that rule, in /etc/nftables.conf or where its table is"
            " defined"
        )
    accept = [
        f"{_iptables(drop, n)} -I FORWARD {end} {n} -j ACCEPT" for n in pods for end in ("-s", "-d")
    ]
    if drop is None or "-" not in drop.rule.partition(",")[0]:
        return Remedy(machine, (*accept, _SAVE))
    return Remedy(machine, tuple(accept), "write the same where these rules are set at boot")


def accept_bgp(drop: Drop, nodes: Sequence[Network], port: int, machine: str) -> Remedy | str:
    """Let BGP between `nodes` pass a firewall permanently, as `accept_packets` does."""
    if "ufw" in drop.owners:
        allow = [f"ufw allow from {n} to any port {port} proto tcp" for n in nodes]
        return Remedy(machine, tuple(allow))
    if "firewalld" in drop.owners:
        add = f"firewall-cmd --permanent --add-port={port}/tcp"
        return Remedy(machine, (add, "firewall-cmd --reload"))
    chain, end = {"input": ("INPUT", "-s"), "output": ("OUTPUT", "-d")}.get(drop.hook, ("", ""))
    if drop.rule.startswith("nft") or not chain:
        networks = ", ".join(map(str, nodes))
        return f"accept TCP port {port} from and to {networks} before that rule"
    ports = f"-p tcp -m multiport --ports {port} -j ACCEPT"
    accept = (f"{_iptables(drop, n)} -I {chain} {end} {n} {ports}" for n in nodes)
    if "-" in drop.rule.partition(",")[0]:
        return Remedy(machine, (*accept,), "write the same where these rules are set at boot")
    return Remedy(machine, (*accept, _SAVE))


def _iptables(drop: Drop | None, pods: Network) -> str:
    """The program that sets the rules of a network, of the backend that a drop is in."""
    program = drop.rule.partition(",")[0] if drop else "iptables"
    backend = program.partition("-")[1:]
    return f"{'iptables' if pods.version == 4 else 'ip6tables'}{''.join(backend)}"
