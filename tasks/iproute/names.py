"""The standard names of the numbers that `ip` prints: route types, protocols, tables, scopes, TOS.

A machine may name any number as it likes, in /etc/iproute2. Therefore `ip` is asked for numbers
(its option -N) and told numbers, and only the standard names are shown. Records of earlier versions
of this tool hold names.
"""

import re

# include/uapi/linux/rtnetlink.h: RTN_*, RTPROT_*, RT_TABLE_*, RT_SCOPE_*. The protocols that are
# not there are those of iproute2's etc/iproute2/rt_protos.
_TYPES = {
    **{"1": "unicast", "2": "local", "3": "broadcast", "4": "anycast", "5": "multicast"},
    **{"6": "blackhole", "7": "unreachable", "8": "prohibit", "9": "throw", "10": "nat"},
}
_PROTOCOLS = {
    **{"0": "unspec", "1": "redirect", "2": "kernel", "3": "boot", "4": "static", "8": "gated"},
    **{"9": "ra", "10": "mrt", "11": "zebra", "12": "bird", "13": "dnrouted", "14": "xorp"},
    **{"15": "ntk", "16": "dhcp", "17": "mrouted", "18": "keepalived", "42": "babel"},
    **{"84": "ovn", "99": "openr", "186": "bgp", "187": "isis", "188": "ospf", "189": "rip"},
    "192": "eigrp",
}
_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
_TABLES = {"253": "default", "254": "main", "255": "local"}
_SCOPES = {"0": "global", "200": "site", "253": "link", "254": "host", "255": "nowhere"}
_NAMES = {"": _TYPES, "proto": _PROTOCOLS, "table": _TABLES, "scope": _SCOPES}

# etc/iproute2/rt_dsfield of iproute2, and the names of RFC 1349 in its earlier versions.
_TOS = {
    **{"default": "0", "lowdelay": "0x10", "throughput": "0x08", "reliability": "0x04"},
    **{f"CS{n}": f"0x{n << 5:02x}" for n in range(1, 8)},
    **{f"AF{n}{m}": f"0x{n << 5 | m << 3:02x}" for n in range(1, 5) for m in range(1, 4)},
    "EF": "0xb8",
}

MAIN = "254"  # the number of the table `main`

_WORD = re.compile(r"(?:^|(?<=\s)(proto|table|scope) )([0-9]+)(?!\S)")
_NAMED_TOS = re.compile(r"(?<= tos )[A-Za-z]\w*(?!\S)")


def with_names(line: str) -> str:
    """A line of `ip route` with the standard names of the numbers in it, and the TOS as a number.

    A line of `ip route` with and without the option -N is the same line afterwards.
    """
    if " tos " in line:
        line = _NAMED_TOS.sub(lambda found: _TOS.get(found[0], found[0]), line)
    return _WORD.sub(_named, line)


def _named(found: "re.Match[str]") -> str:
    key = found[1] or ""
    name = _NAMES[key].get(found[2], found[2])
    return f"{key} {name}" if key else name


def type_name(text: str) -> str:
    """The name of a route type, or of the action of a policy rule."""
    return _TYPES.get(text, text)


def table_name(text: str) -> str:
    """The standard name of a routing table, given its number or its name."""
    return _TABLES.get(text, text)


def protocol_name(text: str) -> str:
    """The standard name of a routing protocol, given its number or its name."""
    return _PROTOCOLS.get(text, text)


def protocol_number(text: str) -> str:
    """The number of a routing protocol; a name that is not standard is left as it is."""
    return _NUMBERS.get(text, text)
