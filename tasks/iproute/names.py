"""The names of route types, protocols and tables, and their numbers.

Machines are asked for numbers (`ip -N`) and given numbers: each machine may name them otherwise
(/etc/iproute2), and `ip -batch` can take a name for the number on the line before. People read
names. The numbers are those of linux/rtnetlink.h and of rt_protos as iproute2 ships it.
"""

TYPES = {
    "1": "unicast",
    "2": "local",
    "3": "broadcast",
    "4": "anycast",
    "5": "multicast",
    "6": "blackhole",
    "7": "unreachable",
    "8": "prohibit",
    "9": "throw",
    "10": "nat",
}
TABLES = {"253": "default", "254": "main", "255": "local"}
PROTOCOLS = {
    "0": "unspec",
    "1": "redirect",
    "2": "kernel",
    "3": "boot",
    "4": "static",
    "8": "gated",
    "9": "ra",
    "10": "mrt",
    "11": "zebra",
    "12": "bird",
    "13": "dnrouted",
    "14": "xorp",
    "15": "ntk",
    "16": "dhcp",
    "18": "keepalived",
    "42": "babel",
    "99": "openr",
    "186": "bgp",
    "187": "isis",
    "188": "ospf",
    "189": "rip",
    "192": "eigrp",
}
_NUMBERS = {name: number for number, name in PROTOCOLS.items()}
_SCOPES = {"0": "global", "253": "link", "254": "host", "255": "nowhere"}
_NAMES = {"table": TABLES, "lookup": TABLES, "proto": PROTOCOLS, "scope": _SCOPES}


def named(words: list[str]) -> list[str]:
    """The words of a line of `ip`, with the names of tables, protocols and scopes for numbers."""
    before = ["", *words]
    return [_NAMES.get(key, {}).get(word, word) for key, word in zip(before, words, strict=False)]


def protocol_number(name: str) -> str:
    """The number of a protocol, for a command; a word that is no name stays as it is."""
    return _NUMBERS.get(name, name)
