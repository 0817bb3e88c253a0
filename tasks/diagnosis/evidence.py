"""Evidence: a machine's links, settings and firewall. They are read where pings failed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tasks.bgp import bird
from tasks.bgp.details import NO_DETAILS, BirdDetails, read_details
from tasks.common import values
from tasks.common.script import joined, script
from tasks.common.values import Address
from tasks.ssh.answer import sections

from .firewall import Firewall, read_firewall

SCRIPT = joined(
    bird.functions(),
    script("bgp/details.sh", "diagnosis/firewall.sh", "diagnosis/evidence.sh"),
)
MAX_MTU = (1 << 31) - 1  # bytes; the kernel keeps it in a signed 32-bit number


@dataclass(frozen=True)
class Link:
    """One network interface."""

    on: bool  # administratively up
    carrier: bool  # of a bridge: only while a port of it has one
    mtu: int  # bytes


@dataclass(frozen=True)
class Evidence:
    """The evidence of one machine."""

    links: Mapping[str, Link]
    sysctls: Mapping[str, int]  # by path below /proc/sys/net
    firewalls: Mapping[int, Firewall]  # by IP version
    silent: frozenset[Address] = frozenset()  # neighbours on its links that do not answer
    bird: BirdDetails = NO_DETAILS

    def no_forwarding(self, family: int, device: str = "") -> str:
        """The sysctl that stops forwarding of what comes in at a device; empty if none does."""
        four = ("ipv4/ip_forward", f"ipv4/conf/{device}/forwarding")
        return self._first(four if family == 4 else ("ipv6/conf/all/forwarding",), 0)

    def strict(self, device: str) -> str:
        """The sysctl that makes reverse path filtering strict at a device, empty if none does."""
        return self._first([f"ipv4/conf/{name}/rp_filter" for name in ("all", device)], 1)

    def _first(self, settings: Iterable[str], value: int) -> str:
        """The first of these sysctls that has the value, named as in sysctl.d(5); else empty."""
        found = (s for s in settings if self.sysctls.get(s) == value)
        return next((f"net.{setting.replace('/', '.')}" for setting in found), "")


def read_evidence(answer: str) -> Evidence:
    """Read what SCRIPT printed. Raises ValueError where its end is missing."""
    found = sections(answer)
    if ("end", "") not in found:
        raise ValueError("the answer breaks off")
    return Evidence(
        links=dict(_links(found.get(("link", ""), []))),
        sysctls=dict(_sysctls(found.get(("sysctl", ""), []))),
        firewalls={f: read_firewall(found.get(("firewall", str(f)), []), f) for f in (4, 6)},
        silent=frozenset(_silent(found.get(("neighbours", ""), []))),
        bird=read_details(
            {detail: text for (name, detail), text in found.items() if name == "bird"}
        ),
    )


def _silent(lines: Iterable[str]) -> Iterator[Address]:
    """Lines of `ip -oneline neigh`: "10.240.0.7 dev eth1 FAILED"."""
    for line in lines:
        with suppress(ValueError):
            yield values.address(line.partition(" ")[0])


def _links(lines: Iterable[str]) -> Iterator[tuple[str, Link]]:
    """Lines of `ip -oneline link`: "2: eth0@if7: <BROADCAST,UP,LOWER_UP> mtu 1500 ..."."""
    for line in lines:
        with suppress(ValueError):
            _, name, flags, _, mtu = line.split(maxsplit=5)[:5]
            on = flags.strip("<>").split(",")
            yield (
                values.device(name.removesuffix(":").partition("@")[0]),
                Link("UP" in on, "NO-CARRIER" not in on, values.number(mtu, 0, MAX_MTU)),
            )


def _sysctls(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Lines of `grep -H .`: "ipv4/conf/eth0/rp_filter:2"."""
    for line in lines:
        name, _, value = line.rpartition(":")
        with suppress(ValueError):
            yield values.word(name), values.number(value)
