"""A kernel route: read from `ip -details -oneline route` and written for `ip -batch`.

One parser handles every version of iproute2, with its option -N and without. A line (ip-route(8))
has an optional type, a prefix, and then pairs of a keyword and its value, mixed with flags of one
word.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from tasks.common.values import Address, Network, address, device, number, prefix, quoted, word

from .batch import without_volatile
from .names import protocol_number, with_names

OWN_PROTOCOL = "214"  # marks the routes of this tool; unassigned in rt_protos
DEFAULT_METRIC = {4: 0, 6: 1024}  # by IP version: the kernel's metric when the command has none
MAX_METRIC = (1 << 32) - 1

_FLAGS = frozenset(
    "onlink linkdown dead pervasive offload notify trap offload_failed rt_offload rt_trap"
    " unresolved redirected cloned".split()
)
_TYPES = frozenset(
    "unicast local broadcast anycast multicast throw unreachable prohibit blackhole nat".split()
)


# By IP version: the words of a route that `ip route save` and `restore` cannot bring back
# unchanged, each with the reason. The kernel refuses to restore a route with the number of a next
# hop object or, for IPv4, with the flag of a link that was down. It does not save expiry times.
_UNSAVED = {
    "nhid": "it is made of a next hop object (ip-nexthop(8))",
    "expires": "it expires by itself",
}
UNSAVED = {
    4: {**_UNSAVED, "linkdown": "its link is down", "dead": "its link is down"},
    6: _UNSAVED,
}

# Keys of routing tables. They are tuples because `ipaddress` objects compute their hash every time.
Length = tuple[int, int]  # IP version, prefix length in bits
Place = tuple[Length, int]  # key of a prefix: its length and its first address
Number = tuple[int, int]  # key of an address: IP version and value


class Hop(NamedTuple):
    """One next hop of a route. `via` is None if the prefix is directly on the link."""

    via: Address | None
    dev: str

    def words(self, family: int) -> str:
        """The hop in the words of ip-route(8), for a route of IP version 4 or 6."""
        if self.via is None:
            return f"dev {self.dev}"
        inet6 = "inet6 " if self.via.version != family else ""
        return f"via {inet6}{self.via} dev {self.dev}"


@dataclass(frozen=True)
class Route:
    """One route of one machine. Two routes with the same `key` are one route to the kernel."""

    prefix: Network
    hops: tuple[Hop, ...]
    protocol: str = OWN_PROTOCOL
    metric: int = 0
    type: str = "unicast"
    table: str = "main"
    tos: str = "0"
    # The line that it was read from, with standard names, and shortened by `without_volatile`.
    text: str = ""
    # Why `ip route restore` cannot bring it back unchanged; empty if it can.
    unsaved: str = field(default="", compare=False)
    source: Address | None = field(default=None, compare=False)  # what it says that packets have

    @property
    def key(self) -> tuple[Network, int, str, str]:
        """What identifies a route in the kernel: prefix (with its family), metric, table, TOS."""
        return self.prefix, self.metric, self.table, self.tos

    @cached_property
    def place(self) -> Place:
        """The table key of its prefix, cached for all machines with the same line."""
        return place_of(self.prefix)

    @property
    def owned(self) -> bool:
        """True if this tool added the route."""
        return self.protocol == OWN_PROTOCOL

    @property
    def next_hop(self) -> Address | None:
        """The address of its only next hop; None if it has none or several."""
        return self.hops[0].via if len(self.hops) == 1 else None

    @cached_property
    def words(self) -> str:
        """The arguments of `ip route add` and `ip route replace` for this route.

        The protocol is a number: the machine's `ip` may know it by another name, and its
        rtnl_rtprot_a2n (lib/rt_names.c) mistakes a name that follows a number in one batch.
        """
        return self._line(protocol_number(self.protocol))

    def _line(self, protocol: str) -> str:
        origin = self._origin(protocol)
        hops = [hop.words(self.prefix.version) for hop in self.hops]
        if len(hops) == 1:
            return " ".join([self._node, hops[0], origin])
        return " ".join([self._node, origin, *(f"nexthop {hop}" for hop in hops)])

    @property
    def selector(self) -> str:
        """The arguments of `ip route del` for this route.

        For a multipath route they leave out the next hops, so the whole route is deleted.
        """
        if len(self.hops) == 1:
            return self.words
        return f"{self._node} {self._origin(protocol_number(self.protocol))}"

    @property
    def _node(self) -> str:
        node = str(self.prefix) if self.type == "unicast" else f"{self.type} {self.prefix}"
        return node if self.tos == "0" else f"{node} tos {self.tos}"

    def _origin(self, protocol: str) -> str:
        metric = f" metric {self.metric}" if self.metric else ""
        return f"proto {protocol}{metric}"

    def __str__(self) -> str:
        """The route for people: with the name of its protocol, if it has a standard one.

        Without this tool's protocol, and without the default metric of its family.
        """
        words = self._line(self.protocol).replace(f" proto {OWN_PROTOCOL}", "")
        if self.metric == DEFAULT_METRIC[self.prefix.version]:
            words = words.removesuffix(f" metric {self.metric}")
        return words


@lru_cache(maxsize=65536)  # all machines have routes to the same prefixes
def as_shown(prefix: Network) -> str:
    """A prefix as `ip` prints it: as inet_ntop(3) does, and a single address without length."""
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    first = socket.inet_ntop(family, prefix.network_address.packed)
    return first if prefix.num_addresses == 1 else f"{first}/{prefix.prefixlen}"


def place_of(prefix: Network) -> Place:
    """The table key of a prefix, for Lookup.at."""
    return (prefix.version, prefix.prefixlen), int(prefix.network_address)


def number_of(address: Address) -> Number:
    """The table key of an address, for Lookup.link_to."""
    return address.version, int(address)


class Unreadable(ValueError):
    """The line is not a route that this module can read."""


@lru_cache(maxsize=65536)  # many machines of the cluster get the same route
def own_route(prefix: Network, via: Address, dev: str) -> Route:
    """The route that this tool adds for a worker's pod CIDR."""
    return Route(prefix, (Hop(via, dev),), metric=DEFAULT_METRIC[prefix.version])


@lru_cache(maxsize=65536)  # many machines of the cluster have the same line
def parse(line: str, family: int) -> Route:
    """Read one line of `ip -FAMILY -details -oneline route`; raises Unreadable."""
    try:
        return _parse(line, family)
    except (ValueError, IndexError) as error:
        raise Unreadable(f"cannot read this line of `ip route`: {quoted(line)}") from error


def parse_all(lines: Iterable[str], family: int) -> list[Route]:
    """Read the lines of `ip -FAMILY -details -oneline route`; raises Unreadable.

    iproute2 >= 6.1 prints the next-hop object of a route on an indented second line. For a group
    that line names the next hops; for a single next hop it repeats the first line.
    """
    whole: list[list[str]] = []
    for line in lines:
        if not line[:1].isspace():
            whole.append([line])
        elif whole and " group " in line:
            _, hop, hops = line.partition("\\\tnexthop")
            whole[-1].append(hop + hops)
    return [parse("".join(parts), family) for parts in whole]


def _parse(line: str, family: int) -> Route:
    line = with_names(line)
    words = line.replace("\\", " ").split()
    kind = words.pop(0) if words[0] in _TYPES else "unicast"
    prefix = _prefix(words.pop(0), family)
    values: dict[str, str] = {}
    hops: list[Hop] = []
    via: Address | None = None
    dev = ""
    at = 0
    while at < len(words):
        key = words[at]
        if key in _FLAGS:
            at += 1
        elif key == "nexthop":
            if via is not None or dev:
                hops.append(Hop(via, dev))
            via, dev = None, ""
            at += 1
        elif key == "encap":  # its own keywords vary; they end at the next hop
            while words[at] not in ("via", "dev", "nexthop"):
                at += 1
        elif key == "via":
            at += 1 if words[at + 1] in ("inet", "inet6") else 0
            via = address(words[at + 1])
            at += 2
        elif key == "dev":
            dev = device(words[at + 1])
            at += 2
        else:
            at += 2 if words[at + 1 : at + 2] == ["lock"] else 1  # "mtu lock 1400"
            values.setdefault(key, words[at] if at < len(words) else "")
            at += 1
    if via is not None or dev:
        hops.append(Hop(via, dev))
    return Route(
        prefix=prefix,
        hops=tuple(hops),
        protocol=word(values.get("proto", "boot")),
        metric=number(values.get("metric", "0"), most=MAX_METRIC),
        type=kind,
        table=word(values.get("table", "main")),
        tos=word(values.get("tos", "0")),
        text=without_volatile(line.strip()),
        unsaved=next((why for key, why in UNSAVED[family].items() if key in words), ""),
        source=address(values["src"]) if "src" in values else None,
    )


def _prefix(text: str, family: int) -> Network:
    if text == "default":
        return prefix("0.0.0.0/0" if family == 4 else "::/0")
    return prefix(text)
