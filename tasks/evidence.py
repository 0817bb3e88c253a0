"""Evidence: what a machine says of its links, settings and firewall, asked where pings failed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import values
from .answer import sections
from .firewall import LISTING, Drop, read_drops

SCRIPT = (
    'host() { "$@"; }\n'
    + LISTING
    + r"""
main() {
  echo "== link"
  ip -oneline link show
  echo "== sysctl"
  cd /proc/sys/net && grep -H . ipv4/ip_forward ipv6/conf/all/forwarding \
    ipv4/conf/*/forwarding ipv4/conf/*/rp_filter
  for family in 4 6; do
    echo "== firewall $family"
    firewall $family
  done
  echo "== end"
} 2>/dev/null
"""
)


@dataclass(frozen=True)
class Link:
    """One network interface."""

    on: bool
    carrier: bool  # a bridge has one only while something is plugged in
    mtu: int  # bytes


@dataclass(frozen=True)
class Evidence:
    """What one machine says."""

    links: Mapping[str, Link]
    sysctls: Mapping[str, int]  # by path below /proc/sys/net
    drops: Mapping[int, tuple[Drop, ...]]  # by IP version

    def forwards(self, family: int, device: str = "") -> str:
        """The sysctl that keeps a machine from forwarding what comes in at a device, or none."""
        four = ("ipv4/ip_forward", f"ipv4/conf/{device}/forwarding")
        return self._first(four if family == 4 else ("ipv6/conf/all/forwarding",), 0)

    def strict(self, device: str) -> str:
        """The sysctl that makes reverse path filtering strict at a device, empty if none does."""
        return self._first([f"ipv4/conf/{name}/rp_filter" for name in ("all", device)], 1)

    def _first(self, settings: Iterable[str], value: int) -> str:
        """The first of some sysctls that has this value, by its name in sysctl.d(5)."""
        found = (s for s in settings if self.sysctls.get(s) == value)
        return next((f"net.{setting.replace('/', '.')}" for setting in found), "")


def read_evidence(answer: str) -> Evidence:
    """Read what SCRIPT printed; raises ValueError where it breaks off."""
    found = sections(answer)
    if ("end", "") not in found:
        raise ValueError("the answer breaks off")
    links = [_link(line) for line in found.get(("link", ""), [])]
    settings = [line.rpartition(":") for line in found.get(("sysctl", ""), [])]
    return Evidence(
        links={name: link for name, link in links if name},
        sysctls={name: int(value) for name, _, value in settings if value.isdecimal()},
        drops={f: read_drops(found.get(("firewall", str(f)), []), f) for f in (4, 6)},
    )


def _link(line: str) -> tuple[str, Link]:
    """One line of `ip -oneline link`: "2: eth0@if7: <BROADCAST,UP,LOWER_UP> mtu 1500 ..."."""
    match = re.match(r"\d+: ([^:@ <]+)[:@ ][^<]*<([^>]*)> mtu (\d+)", line)
    if match is None:
        return "", Link(on=True, carrier=True, mtu=1500)
    flags = match[2].split(",")
    return match[1], Link("UP" in flags, "NO-CARRIER" not in flags, values.number(match[3]))
