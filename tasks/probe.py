"""Probes: addresses wired as pods are, for the time of one command.

A probe is an unnamed network namespace behind a veth pair: on the pod bridge where there is
one, else routed. It lives as long as the shell in it, which ends when the connection does, so
nothing is left however the run ends. Where a namespace cannot be had, an address on `lo` with
a lifetime stands in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

from .cluster import Machine
from .facts import Facts
from .script import Script, joined, script
from .values import Address, Network, host

READY = "== ready"  # the probe is there; a line on descriptor 3 starts the pings
LIFETIME = 240  # seconds that the kernel keeps an address on lo; all pings have ended by then

Wired = Literal["bridge", "routed", "lo", "none"]


@dataclass(frozen=True)
class Probe:
    """The address that stands for a worker's pods, in one family."""

    address: Address
    pod_cidr: Network
    gateway: Address | None  # the pod bridge's own address; None: routed


def probes(worker: Machine, facts: Facts) -> tuple[Probe, ...]:
    """A free address at the top of each of a worker's pod CIDRs."""
    bridge = [i.ip for dev, i in facts.addresses if dev == facts.pod_bridge]
    found = []
    for cidr in worker.pod_cidrs:
        taken = facts.reserved | {i.ip for _, i in facts.addresses}
        address = _free(cidr, taken)
        gateway = next((ip for ip in bridge if ip in cidr), None)
        if address is not None:
            found.append(Probe(address, cidr, gateway))
    if all(probe.gateway for probe in found):
        return tuple(found)
    return tuple(replace(probe, gateway=None) for probe in found)


def _free(cidr: Network, taken: Iterable[Address]) -> Address | None:
    """The highest address that nobody has; not the broadcast one, nor IPv6's reserved anycast."""
    spare = 256 if cidr.num_addresses > 1024 and cidr.version == 6 else 1
    top = cidr.num_addresses - 1 - (spare if cidr.num_addresses > 2 else 0)
    held = set(taken)
    addresses = (cidr[place] for place in range(top, max(top - 1024, 0), -1))
    return next((address for address in addresses if address not in held), None)


def probe_script(own: Sequence[Probe], pings: Script, facts: Facts) -> Script:
    """The script that wires a machine's probe, says READY, waits for a line, and pings.

    `pings` defines a shell function of that name. It may use `await`, which reads a line, and
    `host`, which runs a command in the machine's own network instead of the probe's, and it may
    define `settings` and `prepare` anew, which come before.
    """
    steps = script("probe_steps.sh")
    outside = script(
        "probe.sh",
        pods=[probe.address for probe in own],
        on_lo=[host(probe.address) for probe in own],
        lifetime=LIFETIME,
        inside=joined(steps, pings, _inside(own, facts)) if own else "",
    )
    return joined(steps, pings, outside)


def _inside(own: Sequence[Probe], facts: Facts) -> Script:
    """The script inside of a probe's own network namespace."""
    routed = [probe for probe in own if probe.gateway is None]
    return script(
        "probe_inside.sh",
        bridge="" if routed else facts.pod_bridge,
        mtu=facts.pod_mtu,
        mac=_mac(own[0].address),
        machine_mac=_MACHINE_MAC,
        lines_4=_lines(own, 4),
        lines_6=_lines(own, 6),
        routed_4=[probe.address for probe in routed if probe.address.version == 4],
        routed_6=[probe.address for probe in routed if probe.address.version == 6],
    )


_MACHINE_MAC = "02:00:00:00:00:01"  # of the machine's end of a routed probe: it meets nobody else
_LINK_LOCAL = {4: "169.254.1.1", 6: "fe80::1"}


def _mac(address: Address) -> str:
    """A hardware address that goes with an address, so that no neighbour's memory is ever stale."""
    number = crc32(address.packed).to_bytes(4, "big")
    return "02:70:" + ":".join(f"{byte:02x}" for byte in number)


def _lines(own: Sequence[Probe], family: int) -> list[str]:
    """The addresses and routes of a probe in its namespace, for `ip -batch`."""
    nodad = " nodad" if family == 6 else ""
    via = _LINK_LOCAL[family]
    lines = []
    for probe in own:
        if probe.address.version != family:
            continue
        if probe.gateway is not None:
            lines += [
                f"addr add {probe.address}/{probe.pod_cidr.prefixlen} dev eth0{nodad}",
                f"route add default via {probe.gateway} dev eth0",
            ]
        else:
            lines += [
                f"addr add {host(probe.address)} dev eth0{nodad}",
                f"neigh add {via} lladdr {_MACHINE_MAC} dev eth0 nud permanent",
                f"route add default via {via} dev eth0 onlink",
            ]
    return lines
