"""Probes: addresses wired as pods are, for the time of one command, and pings between them.

A probe is an unnamed network namespace behind a veth pair: on the pod bridge where there is
one, else routed. It lives as long as the shell in it, which ends when the connection does, so
nothing is left however the run ends. Where a namespace cannot be had, an address on `lo` with
a lifetime stands in.
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal
from zlib import crc32

from .answer import sections
from .cluster import Address, Machine, Network
from .facts import Facts

READY = "== ready"  # the probe is there; a line on descriptor 3 starts the pings
SENT = "== sent"  # all pings have ended; a line lets the probe go, which others may still need
COUNT = 3  # a pair is silent after three unanswered
LIFETIME = 120  # seconds that the kernel keeps an address on lo at most

Wired = Literal["bridge", "routed", "lo", "none"]


@dataclass(frozen=True)
class Probe:
    """The address that stands for a worker's pods, in one family."""

    address: Address
    pod_cidr: Network
    gateway: Address | None  # the pod bridge's own address; None: routed


@dataclass(frozen=True)
class Target:
    """One ping to be sent: to a worker's probe, from this machine's probe or from its own."""

    worker: str
    address: Address
    source: Address | None  # None: from the machine itself


@dataclass(frozen=True)
class Ping:
    """What came of the pings to one target."""

    worker: str
    family: int
    from_pod: bool
    received: int  # of COUNT
    rtt: float | None  # milliseconds, on average
    large: bool  # whether those that filled the MTU were answered

    @property
    def answers(self) -> bool:
        """Whether there was any answer at all."""
        return self.received > 0

    @property
    def unanswered(self) -> "Ping":
        """The same, but that nobody is taken to have answered."""
        return replace(self, received=0, rtt=None, large=False)


@dataclass(frozen=True)
class Report:
    """What one machine found out."""

    wired: Wired
    why: str  # why its probe is not wired as a pod is
    forwards: dict[int, bool]  # by its settings, for each family
    pings: tuple[Ping, ...]
    callers: frozenset[str] | None = None  # the prefixes whose TCP connections came, if counted


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
    `host`, which runs a command in the machine's own network instead of the probe's.
    """
    library = f"{_LIBRARY}\n{pings}"
    if not own:
        return f'{library}\nmain() {{ forwarding; echo "{READY} none"; await <&3 && pings <&3; }}'
    wire = "\n".join(_wire(probe, _mac(own[0].address)) for probe in own)
    bridged = any(probe.gateway for probe in own)
    inside = f"""{library}
host() {{ nsenter --net="/proc/$outer/ns/net" "$@"; }}
outer=$1 link=probe$1 bridge={shlex.quote(facts.pod_bridge)}
wire() {{
  ip link set lo up || return
  ip link add name eth0 mtu {facts.pod_mtu} address {_mac(own[0].address)} \\
    type veth peer name "$link" mtu {facts.pod_mtu} {"" if bridged else f"address {_OUTER_MAC}"} \\
    netns "$outer" || return
  {'host ip link set "$link" master "$bridge" || return' if bridged else ":"}
  host ip link set "$link" up && ip link set eth0 up || return
{wire}
}}
words=$(wire 2>&1) || {{ echo "$words"; exit 9; }}
trap 'host ip link del "$link" 2>/dev/null' EXIT
prepare
echo "{READY} {"bridge" if bridged else "routed"}"
await && pings
"""
    adds = " && ".join(
        f"ip addr add {p.address}/{p.address.max_prefixlen} dev lo"
        f" valid_lft {LIFETIME} preferred_lft {LIFETIME}"
        for p in own
    )
    dels = "; ".join(f"ip addr del {p.address}/{p.address.max_prefixlen} dev lo" for p in own)
    return f"""{library}
main() {{
  forwarding
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

_LIBRARY = rf"""set -f
await() {{ read -r _; }}
host() {{ "$@"; }}
ask() {{
  key=$1 size=$2 large=yes; shift 2
  words=$("$@" -n -q -c {COUNT} -i 0.2 -W 1 -M do -s "$size" $from $to 2>&1 </dev/null)
  case $words in *" 0 received"*) large=no
    words=$("$@" -n -q -c {COUNT} -i 0.2 -W 1 $from $to 2>&1 </dev/null) ;;
  esac
  echo "== ping $key $large" $words
}}
connect() {{ # ADDRESS PORT COMMAND...: says how many were answered, if only turned down
  to=$1 port=$2 got=0; shift 2
  for try in $(seq {COUNT}); do
    words=$("$@" timeout 1 bash -c "exec 3<>/dev/tcp/$to/$port" 2>&1 </dev/null) && words=refused
    case $words in *refused*) got=$((got + 1)) ;; esac
  done
  echo "$got received"
}}
knock() {{ # KEY ADDRESS PORT COMMAND...
  command -v bash >/dev/null || {{ echo "== lacks bash"; return; }}
  key=$1; shift
  words=$(connect "$@")
  echo "== ping $key yes $words"
}}
prepare() {{ :; }} # what is to be done in a probe's network before the others begin
count_callers() {{ # PREFIX...
  for prefix; do
    case $prefix in *:*) rule=ip6tables ;; *) rule=iptables ;; esac
    $rule -w -A INPUT -s "$prefix" -p tcp --syn -j ACCEPT
  done
  for rule in iptables ip6tables; do $rule -w -A INPUT -p tcp --syn; done
}} 2>/dev/null
callers() {{
  [ -n "$outer" ] && iptables-save -t filter >/dev/null || return
  echo "== callers"
  iptables-save -c -t filter; ip6tables-save -c -t filter
}} 2>/dev/null
forwarding() {{
  echo "== forwarding 4"
  cat /proc/sys/net/ipv4/ip_forward
  iptables -S FORWARD 2>/dev/null
  nft list chains ip 2>/dev/null
  nft list chains inet 2>/dev/null
  echo "== forwarding 6"
  cat /proc/sys/net/ipv6/conf/all/forwarding
  ip6tables -S FORWARD 2>/dev/null
  nft list chains ip6 2>/dev/null
  nft list chains inet 2>/dev/null
}}
"""


def pings(
    targets: Sequence[Target], mtu: int, tcp: int = 0, callers: Iterable[Network] = ()
) -> str:
    """The pings to all targets at once, for `script`; their end is SENT.

    With `tcp`, a port, they are TCP connections: that a probe turns them down is its answer. A
    firewall may do that in its name, so each probe counts from which of the `callers` any came.
    """
    lines = []
    for target in targets:
        family = target.address.version
        size = mtu - (28 if family == 4 else 48)  # less the IP and ICMP headers
        side, source = ("pod", f"-I {target.source}") if target.source else ("host", "")
        key = f"{target.worker} {family} {side}"
        command = "ping" if target.source else "host ping"
        if tcp:
            host = "" if target.source else "host"
            lines.append(f'  knock "{key}" {target.address} {tcp} {host} &')
            continue
        lines.append(
            f'  from={shlex.quote(source)} to={target.address}; ask "{key}" {size} {command} &'
        )
    end = ["  wait", f'  echo "{SENT}"', "  await", *(["  callers"] if tcp else [])]
    count = f"prepare() {{ count_callers {' '.join(map(str, callers))}; }}"
    return "\n".join([*([count] if tcp else []), "pings() {", *lines, *end, "}"])


def _mac(address: Address) -> str:
    """A hardware address that goes with an address, so that no neighbour's memory is ever stale."""
    number = crc32(address.packed).to_bytes(4, "big")
    return "02:70:" + ":".join(f"{byte:02x}" for byte in number)


def _wire(probe: Probe, mac: str) -> str:
    """The addresses and routes of a probe, in its namespace and on the machine."""
    family = probe.address.version
    ip, nodad = f"ip -{family}", " nodad" if family == 6 else ""
    if probe.gateway is not None:
        return (
            f"  {ip} addr add {probe.address}/{probe.pod_cidr.prefixlen} dev eth0{nodad} &&\n"
            f"  {ip} route add default via {probe.gateway} dev eth0 || return"
        )
    via = _LINK_LOCAL[family]
    return (
        f"  {ip} addr add {probe.address}/{probe.address.max_prefixlen} dev eth0{nodad} &&\n"
        f"  {ip} neigh add {via} lladdr {_OUTER_MAC} dev eth0 nud permanent &&\n"
        f"  {ip} route add default via {via} dev eth0 onlink &&\n"
        f'  host {ip} neigh add {probe.address} lladdr {mac} dev "$link" nud permanent &&\n'
        f'  host {ip} route add {probe.address} dev "$link" || return'
    )


_DROPS = r"^-P FORWARD DROP|hook forward .*policy drop"


def read_report(answer: str) -> Report:
    """Read what the script printed; raises ValueError where it is not that."""
    wired: Wired = "none"
    forwards = {4: True, 6: True}
    pings = []
    found = sections(answer)
    for (name, detail), lines in found.items():
        if name == "ready":
            wired = _wired(detail)
        elif name == "forwarding":
            drops = any(re.search(_DROPS, line) for line in lines[1:])
            forwards[int(detail)] = lines[:1] == ["1"] and not drops
        elif name == "ping":
            pings.append(_ping(detail))
    why = " ".join(found.get(("wiring", ""), [])) if wired in ("lo", "none") else ""
    if ("lacks", "bash") in found:
        wired, why = "none", "--tcp needs bash on it"
    callers = counted_sources(found[("callers", "")]) if ("callers", "") in found else None
    return Report(wired, why, forwards, tuple(pings), callers)


def counted_sources(lines: Iterable[str]) -> frozenset[str]:
    """The prefixes of iptables' rules that have counted anything; empty for any other source."""
    rules = (re.match(r"\[(\d+):\d+\] -A INPUT (?:-s (\S+) )?", line) for line in lines)
    return frozenset(rule[2] or "" for rule in rules if rule and rule[1] != "0")


def counter(lines: Sequence[str], group: str, name: str) -> int | None:
    """A counter in the format of /proc/net/snmp (proc_net(5)); None where it is not there.

    A group has two lines that start with its name: one has its counters' names, one the values.
    """
    rows = [line.split() for line in lines if line.startswith(group)]
    names, values = [*rows, [], []][:2]
    found = [v for key, v in zip(names, values, strict=False) if key == name and v.isdecimal()]
    return int(found[0]) if found else None


def _wired(word: str) -> Wired:
    if word not in ("bridge", "routed", "lo", "none"):
        raise ValueError(f"cannot read the probe's answer: {word!r}")
    return word  # type: ignore[return-value]


def _ping(detail: str) -> Ping:
    """One summary of ping(8): "... 3 packets transmitted, 3 received, ... = min/avg/max/..."."""
    worker, family, side, large, *words = detail.split()
    text = " ".join(words)
    received = re.search(r"(\d+) received", text)
    rtt = re.search(r"= [\d.]+/([\d.]+)/", text)
    return Ping(
        worker,
        int(family),
        side == "pod",
        int(received[1]) if received else 0,
        float(rtt[1]) if rtt else None,
        large == "yes",
    )
