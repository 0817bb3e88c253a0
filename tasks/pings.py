"""Pings from one machine: what is pinged, the script that does so, and what came of it."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .answer import sections
from .cluster import Address, Network
from .probe import Wired

COUNT = 3  # a pair is silent after three unanswered
SENT = "== sent"  # all pings have ended; a line lets the probe go, which others may still need


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
    forwards: dict[int, bool]  # by its settings, for each family; True where they were not asked
    pings: tuple[Ping, ...]
    callers: frozenset[str] | None = None  # the prefixes whose TCP connections came, if counted


def pings(
    targets: Sequence[Target],
    mtu: int,
    tcp: int = 0,
    callers: Iterable[Network] = (),
    *,
    forwarding: bool = False,
) -> str:
    """The pings to all targets at once, for `probe.script`; their end is SENT.

    With `tcp`, a port, they are TCP connections: that a probe turns them down is its answer. A
    firewall may do that in its name, so each probe counts from which of the `callers` any came.
    `forwarding`: say first whether the machine forwards, by its settings.
    """
    pods = [target for target in targets if target.source]
    machine = [target for target in targets if not target.source]
    send = f"{{\n{_asks('pod', pods, mtu, tcp)}\n}} | summaries"
    if machine:
        asks = shlex.quote(_asks("host", machine, mtu, tcp))
        send = f"host sh -c {asks} </dev/null | {{\n{send}\nsummaries\n}}"
    if tcp:
        send = f'if command -v bash >/dev/null; then {send}; else echo "== lacks bash"; fi'
    settings = [_FORWARDING] if forwarding else []
    counts = [_CALLERS, f"prepare() {{ count {' '.join(map(str, callers))}; }}"] if tcp else []
    end = [f'echo "{SENT}"', "await", *(["callers"] if tcp else [])]
    return "\n".join([*settings, *counts, _SUMMARIES, "pings() {", send, *end, "}"])


def _asks(side: str, targets: Sequence[Target], mtu: int, tcp: int) -> str:
    """The script that pings from one side, and prints the summaries in sections."""
    if tcp:
        knocks = (f"knock {target.address} {tcp} &" for target in targets)
        return "\n".join([CONNECT, _KNOCK, f"echo '== large {side}'", *knocks, "wait"])
    sources = {t.address.version: f"-I {t.source}" for t in targets if t.source}
    small = [sources.get(family, "") for family in (4, 6)]
    headers = (28, 48)  # of IP and ICMP
    large = [f"-M do -s {mtu - n} {way}" for n, way in zip(headers, small, strict=True)]
    addresses = " ".join(str(target.address) for target in targets)
    return f"""{_ASK}
echo '== large {side}'
ask {shlex.join(large)} {addresses}
echo '== small {side}'
ask {shlex.join(small)} $silent"""


_ASK = rf"""ask() {{ # OPTIONS OPTIONS ADDRESS...: for IPv4, for IPv6; $silent did not answer
  four=$1 six=$2 sent= silent=; shift 2
  for to; do
    case $to in *:*) options=$six ;; *) options=$four ;; esac
    ping -n -q -c {COUNT} -i 0.2 -W 1 $options "$to" 2>/dev/null &
    sent="$sent $! $to"
  done
  set -- $sent
  while [ $# -gt 0 ]; do
    wait "$1"
    [ $? -ne 1 ] || silent="$silent $2" # what could not be sent at all is not sent again
    shift 2
  done
}}"""

CONNECT = rf"""connect() {{ # ADDRESS PORT COMMAND...: how many were answered, if only turned down
  to=$1 port=$2 got=0; shift 2
  for try in $(seq {COUNT}); do
    words=$("$@" timeout 1 bash -c "exec 3<>/dev/tcp/$to/$port" 2>&1 </dev/null) && words=refused
    case $words in *refused*) got=$((got + 1)) ;; esac
  done
  echo "$got received"
}}"""

_KNOCK = r"""knock() { # ADDRESS PORT: in the words of ping(8)
  words=$(connect "$@")
  printf -- '--- %s\n%s\n' "$1" "$words"
}"""

# ping(8) writes its summary at once, so those of many come whole through one pipe; so do lines.
_SUMMARIES = "summaries() { grep -E '^(==|---|rtt) | received'; }"

_CALLERS = r"""count() { # PREFIX...
  for prefix; do
    case $prefix in *:*) rule=ip6tables ;; *) rule=iptables ;; esac
    $rule -w -A INPUT -s "$prefix" -p tcp --syn -j ACCEPT
  done
  for rule in iptables ip6tables; do $rule -w -A INPUT -p tcp --syn; done
} 2>/dev/null
callers() {
  [ -n "$outer" ] && iptables-save -t filter >/dev/null || return
  echo "== callers"
  iptables-save -c -t filter; ip6tables-save -c -t filter
} 2>/dev/null"""

_FORWARDING = r"""settings() {
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
}"""

_DROPS = r"^-P FORWARD DROP|hook forward .*policy drop"


def read_report(answer: str, targets: Iterable[Target]) -> Report:
    """Read what the script printed; raises ValueError where it is not that."""
    wired: Wired = "none"
    forwards = {4: True, 6: True}
    found = sections(answer)
    for (name, detail), lines in found.items():
        if name == "ready":
            wired = _wired(detail)
        elif name == "forwarding":
            drops = any(re.search(_DROPS, line) for line in lines[1:])
            forwards[int(detail)] = lines[:1] == ["1"] and not drops
    why = " ".join(found.get(("wiring", ""), [])) if wired in ("lo", "none") else ""
    if ("lacks", "bash") in found:
        wired, why = "none", "--tcp needs bash on it"
    callers = counted_sources(found[("callers", "")]) if ("callers", "") in found else None
    return Report(wired, why, forwards, tuple(_read_pings(found, targets)), callers)


def counted_sources(lines: Iterable[str]) -> frozenset[str]:
    """The prefixes of iptables' rules that have counted anything; empty for any other source."""
    rules = (re.match(r"\[(\d+):\d+\] -A INPUT (?:-s (\S+) )?", line) for line in lines)
    return frozenset(rule[2] or "" for rule in rules if rule and rule[1] != "0")


def _wired(word: str) -> Wired:
    if word not in ("bridge", "routed", "lo", "none"):
        raise ValueError(f"cannot read the probe's answer: {word!r}")
    return word  # type: ignore[return-value]


def _read_pings(
    found: Mapping[tuple[str, str], Sequence[str]], targets: Iterable[Target]
) -> Iterator[Ping]:
    """What came of each target, but for those that nobody began to ping."""
    came = {key: _summaries(found[key]) for key in found if key[0] in ("large", "small")}
    for target in targets:
        side, address = "pod" if target.source else "host", str(target.address)
        if ("large", side) in came:
            large = came["large", side].get(address, (0, None))
            received, rtt = large if large[0] else came.get(("small", side), {}).get(address, large)
            family, from_pod = target.address.version, target.source is not None
            yield Ping(target.worker, family, from_pod, received, rtt, large=large[0] > 0)


def _summaries(lines: Iterable[str]) -> dict[str, tuple[int, float | None]]:
    """By address, how many of ping(8)'s packets were answered, and in how many milliseconds.

    "--- 10.200.1.254 ping statistics ---", "3 packets transmitted, 3 received, 0% packet loss",
    "rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms".
    """
    found = {}
    for block in re.split("^--- ", "\n".join(lines), flags=re.MULTILINE)[1:]:
        received = re.findall(rf"\b([0-{COUNT}]) received", block)
        rtt = re.search(r"= [\d.]+/(\d+\.?\d*)/", block)
        if len(received) == 1:  # else it is torn
            found[block.split()[0]] = (int(received[0]), float(rtt[1]) if rtt else None)
    return found
