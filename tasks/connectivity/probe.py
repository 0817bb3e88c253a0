"""Probes: addresses connected as pods are, for the duration of one command.

A probe is an unnamed network namespace behind a veth pair: on the pod bridge where there is
one, else routed. It lives as long as the shell in it, and that ends with the connection. So
nothing is left, however the run ends. If no namespace can be made, an address on `lo` with a
lifetime is used instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

from tasks.common import values
from tasks.common.script import Script, Values, joined, script
from tasks.common.values import Address, Network
from tasks.facts.model import Facts
from tasks.inventory.model import Machine

READY = "== ready"  # the probe is there; a line on descriptor 3 starts the pings
LIFETIME = 240  # seconds that the kernel keeps an address on lo; all pings have ended by then

Wired = Literal["bridge", "routed", "lo", "none"]


@dataclass(frozen=True)
class Probe:
    """The address that represents a worker's pods, in one family."""

    address: Address
    pod_cidr: Network
    gateway: Address | None  # the pod bridge's own address; None: routed


def probes(worker: Machine, facts: Facts) -> tuple[Probe, ...]:
    """A free address at the top of each of a worker's pod CIDRs."""
    bridge = [i.ip for dev, i in facts.addresses if dev == facts.pod_bridge]
    found = []
    for cidr in worker.pod_cidrs:
        address = _free(cidr, facts)
        gateway = next((ip for ip in bridge if ip in cidr), None)
        if address is not None:
            found.append(Probe(address, cidr, gateway))
    if all(probe.gateway for probe in found):
        return tuple(found)
    return tuple(replace(probe, gateway=None) for probe in found)


def full_pod_cidrs(worker: Machine, own: Iterable[Probe]) -> list[Network]:
    """The pod CIDRs of a worker that have no free address for a probe. `own`: its probes."""
    probed = {probe.pod_cidr for probe in own}
    return [cidr for cidr in worker.pod_cidrs if cidr not in probed]


def _free(cidr: Network, facts: Facts) -> Address | None:
    """The highest unused address; not the broadcast one, nor IPv6's reserved anycast."""
    spare = 256 if cidr.num_addresses > 1024 and cidr.version == 6 else 1
    top = cidr.num_addresses - 1 - (spare if cidr.num_addresses > 2 else 0)
    taken = facts.reserved | {i.ip for _, i in facts.addresses}
    last = max(top - len(taken) - 1, 0)  # of so many addresses, one is not taken
    return next((cidr[place] for place in range(top, last, -1) if cidr[place] not in taken), None)


# On the machine's side of a probe. A bridge may take the lowest of its ports' hardware addresses,
# and loses packets whenever that changes: no port has a higher one.
_OUTER_MAC = "fe:ff:ff:ff:ff:ff"
_LINK_LOCAL = {4: "169.254.1.1", 6: "fe80::1"}


def probe_script(own: Sequence[Probe], facts: Facts, *files: str, **given: Values) -> Script:
    """The script that wires a machine's probe, says READY, waits for a line, and pings.

    The shell files define a function `pings`, the values are theirs. It may use `await`, which
    reads a line, and `host`, which runs a command in the machine's own network instead of the
    probe's; the files may define `settings` and `prepare` anew, which come before.
    """
    shared = wired(own, facts, *files, **given)
    alone = [values.host(probe.address) for probe in own]
    main = script(
        "connectivity/probe_main.sh", outer="", shared=shared, alone=alone, lifetime=LIFETIME
    )
    return joined(shared, main)


def wired(own: Sequence[Probe], facts: Facts, *files: str, **given: Values) -> Script:
    """The shell functions around a machine's probe, for a script that calls `wired`.

    The shell files define a function `pings`, the values are theirs.
    """
    bridged = any(probe.gateway for probe in own)
    return script(
        "connectivity/probe.sh",
        *files,
        place="bridge" if bridged else "routed",
        probes=[_four_words(probe) for probe in own],
        bridge=facts.pod_bridge if bridged else "",
        mtu=facts.pod_mtu,
        outer_mtu=facts.bridges.get(facts.pod_bridge, facts.pod_mtu) if bridged else facts.pod_mtu,
        mac=_mac(own[0].address) if own else "",
        outer_mac=_OUTER_MAC,
        **given,
    )


def _four_words(probe: Probe) -> str:
    """A probe for probe.sh: family, address, length of its prefix, gateway."""
    address, family = probe.address, probe.address.version
    if probe.gateway is None:
        return f"{family} {address} {address.max_prefixlen} {_LINK_LOCAL[family]}"
    return f"{family} {address} {probe.pod_cidr.prefixlen} {probe.gateway}"


def _mac(address: Address) -> str:
    """A hardware address that goes with an address, so that no neighbour's memory is ever stale."""
    number = crc32(address.packed).to_bytes(4, "big")
    return "02:70:" + ":".join(f"{byte:02x}" for byte in number)
