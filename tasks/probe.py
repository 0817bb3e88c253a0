"""Probes: addresses wired as pods are, for the time of one command.

A probe is an unnamed network namespace behind a veth pair: on the pod bridge where there is
one, else routed. It lives as long as the shell in it, which ends when the connection does, so
nothing is left however the run ends. Where a namespace cannot be had, an address on `lo` with
a lifetime stands in.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal
from zlib import crc32

from .cluster import Address, Machine, Network
from .facts import Facts

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
    top = int(cidr.broadcast_address) - (spare if cidr.num_addresses > 2 else 0)
    held = set(taken)
    for value in range(top, max(top - 1024, int(cidr.network_address)), -1):
        address = ip_address(value) if cidr.version == 4 else _ipv6(value)
        if address not in held:
            return address
    return None


def _ipv6(value: int) -> Address:
    return ip_address(value.to_bytes(16, "big"))


def script(own: Sequence[Probe], pings: str, facts: Facts) -> str:
    """The script that wires a machine's probe, says READY, waits for a line, and pings.

    `pings` defines a shell function of that name. It may use `await`, which reads a line, and
    `host`, which runs a command in the machine's own network instead of the probe's, and it may
    define `settings` and `prepare` anew, which come before.
    """
    library = f"{_LIBRARY}\n{pings}"
    if not own:
        return f'{library}\nmain() {{ settings; echo "{READY} none"; await <&3 && pings <&3; }}'
    mac = _mac(own[0].address)
    bridged = any(probe.gateway for probe in own)
    wire = "\n".join(_wire(probe, mac) for probe in own)
    inside = f"""{library}
host() {{ nsenter --net="/proc/$outer/ns/net" "$@"; }}
outer=$1 link=probe$1 bridge={shlex.quote(facts.pod_bridge)}
wire() {{
  ip link set lo up || return
  ip link add name eth0 up mtu {facts.pod_mtu} address {mac} \\
    type veth peer name "$link" mtu {facts.pod_mtu} {"" if bridged else f"address {_OUTER_MAC}"} \\
    netns "$outer" || return
  host ip link set "$link" {'master "$bridge"' if bridged else ""} up || return
{wire}
}}
words=$(wire 2>&1) || {{ echo "$words"; exit 9; }}
trap 'ip link del eth0 2>/dev/null' EXIT
prepare
echo "{READY} {"bridge" if bridged else "routed"}"
await && pings
exit 0 # what ends by another number had no probe
"""
    adds = " && ".join(
        f"ip addr add {p.address}/{p.address.max_prefixlen} dev lo"
        f" valid_lft {LIFETIME} preferred_lft {LIFETIME}"
        for p in own
    )
    dels = "; ".join(f"ip addr del {p.address}/{p.address.max_prefixlen} dev lo" for p in own)
    return f"""{library}
main() {{
  settings
  echo "== wiring"
  unshare --net sh -c {shlex.quote(inside)} sh $$ <&3 2>&1
  case $? in 9|126|127|1) ;; *) return ;; esac
  trap '{dels}' EXIT
  {{ {adds}; }} 2>&1 || {{ echo "{READY} none"; await <&3 && pings <&3; return; }}
  echo "{READY} lo"
  await <&3 && pings <&3
}}
"""


_OUTER_MAC = "02:00:00:00:00:01"  # on the machine's side of a routed probe: it meets nobody else
_LINK_LOCAL = {4: "169.254.1.1", 6: "fe80::1"}

_LIBRARY = r"""set -f
await() { read -r _; }
host() { "$@"; }
settings() { :; } # what is to be said of the machine itself, before there is a probe
prepare() { :; } # what is to be done in a probe's network before the others begin
"""


def _mac(address: Address) -> str:
    """A hardware address that goes with an address, so that no neighbour's memory is ever stale."""
    number = crc32(address.packed).to_bytes(4, "big")
    return "02:70:" + ":".join(f"{byte:02x}" for byte in number)


def _wire(probe: Probe, mac: str) -> str:
    """The addresses and routes of a probe, in its namespace and on the machine."""
    family = probe.address.version
    batch, nodad = f"ip -{family} -batch - <<END || return", " nodad" if family == 6 else ""
    if probe.gateway is not None:
        return f"""{batch}
addr add {probe.address}/{probe.pod_cidr.prefixlen} dev eth0{nodad}
route add default via {probe.gateway} dev eth0
END"""
    via = _LINK_LOCAL[family]
    return f"""{batch}
addr add {probe.address}/{probe.address.max_prefixlen} dev eth0{nodad}
neigh add {via} lladdr {_OUTER_MAC} dev eth0 nud permanent
route add default via {via} dev eth0 onlink
END
host {batch}
neigh add {probe.address} lladdr {mac} dev $link nud permanent
route add {probe.address} dev $link
END"""
