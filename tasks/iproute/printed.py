"""Turns what `ip` prints back into the words that `ip` takes: routes, policy rules, neighbours.

The lines are those of `ip -N -details -oneline`. They are not trusted. Only the keywords below are
passed on, because one that `ip` does not know ends a batch, and no word may hold a character that
`ip -batch` reads as more than a word (ip(8)).
"""

import re

from tasks.common.values import MAX_LINE, address, device, interface, number, prefix, quoted

from .batch import without_volatile
from .names import with_names

_TYPES = frozenset(
    "unicast local broadcast anycast multicast throw unreachable prohibit blackhole nat".split()
)
# ip-route(8): keywords with a value, and without one.
_ROUTE_PAIRS = frozenset(
    "via dev table proto scope src metric mtu advmss window rtt rttvar rto_min hoplimit initcwnd"
    " initrwnd quickack congctl features cwnd ssthresh reordering realm realms tos weight pref"
    " ttl-propagate fastopen_no_cookie".split()
)
_ROUTE_FLAGS = frozenset("nexthop onlink pervasive lock inet inet6".split())
# How a route fares, and the number of its next hop object: shown, and never told.
_ROUTE_STATES = frozenset(
    "offload offload_failed trap rt_offload rt_trap unresolved cloned redirected notify".split()
)
_ROUTE_NUMBERS = frozenset(("error", "nhid"))
# ip-rule(8)
RULE_PAIRS = frozenset(
    "from to fwmark iif oif lookup proto tos dsfield uidrange ipproto sport dport goto realms"
    " suppress_prefixlength suppress_ifgroup tun_id".split()
)
_RULE_FLAGS = frozenset("not nop blackhole unreachable prohibit".split())
_RULE_TYPES = {"6": "blackhole", "7": "unreachable", "8": "prohibit"}
_RULE_STATES = frozenset(("[detached]", "unresolved"))
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]{1,64}")


def same_route(line: str) -> str:
    """A line of `ip route` in a form that does not depend on how the route fares at the moment."""
    return " ".join(_route(line))


def _route(line: str) -> list[str]:
    words = with_names(without_volatile(line)).replace("\\", " ").split()
    kept = []
    skip = False
    for word in words:
        if not skip and word not in _ROUTE_STATES and word not in _ROUTE_NUMBERS:
            kept.append(word)
        skip = not skip and word in _ROUTE_NUMBERS
    return kept


def route_words(line: str) -> str:
    """The arguments of `ip route add` for a route, given the line that shows it.

    Raises ValueError for a line that shows no route, or one of a kind that is not known here.
    """
    words = _route(line)
    at = 1 if words[:1] and words[0] in _TYPES else 0
    if len(words) <= at or len(line) > MAX_LINE:
        raise ValueError(f"not a route: {quoted(line)}")
    if words[at] != "default":
        prefix(words[at])
    _check(words[at + 1 :], _ROUTE_PAIRS, _ROUTE_FLAGS, line)
    # `ip` always locks this one, and takes no word for that.
    return " ".join(words).replace(" rto_min lock ", " rto_min ")


def rule_words(line: str) -> str:
    """The arguments of `ip rule add` for a policy rule, given the line that shows it."""
    preference, _, rest = line.partition(":")
    number(preference, most=(1 << 32) - 1)
    words = [word for word in rest.split() if word not in _RULE_STATES]
    # `ip` shows the number of a protocol as "ipproto-6", and takes "6".
    words = [word.removeprefix("ipproto-") if "-" in word else word for word in words]
    words = [
        _RULE_TYPES.get(word, word) if before not in RULE_PAIRS else word
        for before, word in zip(["", *words], words, strict=False)
    ]
    _check(words, RULE_PAIRS, _RULE_FLAGS, line)
    return " ".join(["pref", preference, *words])


def neighbour_words(line: str) -> str:
    """The arguments of `ip neigh replace` for a permanent or a proxy entry, given its line."""
    words = line.split()
    if len(words) < 4 or words[1] != "dev":
        raise ValueError(f"not an entry of the neighbour table: {quoted(line)}")
    ip, dev = address(words[0]), device(words[2])
    if words[3] == "proxy":
        return f"proxy {ip} dev {dev}"
    if words[3] == "lladdr" and re.fullmatch(r"[0-9a-f:]{2,95}", words[4]) and "PERMANENT" in words:
        return f"{ip} dev {dev} lladdr {words[4]} nud permanent"
    raise ValueError(f"not an entry of the neighbour table: {quoted(line)}")


def _check(words: list[str], pairs: frozenset[str], flags: frozenset[str], line: str) -> None:
    """Raise ValueError unless the words are keywords, and values of those that have one."""
    at = 0
    while at < len(words):
        key, at = words[at], at + 1
        if key in flags:
            continue
        if key not in pairs:
            raise ValueError(f"{quoted(key)} is not known here: {quoted(line)}")
        at += 1 if words[at : at + 1] and words[at] in ("lock", "inet", "inet6") else 0
        value, at = (words[at] if at < len(words) else ""), at + 1
        if key in ("dev", "iif", "oif"):
            device(value)
        elif key in ("via", "src"):
            address(value)
        elif key in ("from", "to") and value != "all":
            interface(value)
        elif not _WORD.fullmatch(value):
            raise ValueError(f"not a value of {key}: {quoted(line)}")
