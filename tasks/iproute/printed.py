"""Turns what `ip` prints back into the words that `ip` takes: routes, policy rules, neighbours.

The lines are those of `ip -N -details -oneline`. They are not trusted: a word with a character that
`ip -batch` reads as more than a word (ip(8)) is refused.
"""

import re

from tasks.common.values import MAX_LINE, address, device, number, prefix, quoted

from .batch import without_volatile
from .names import with_names

# What `ip` prints and does not take: how a route fares, and the number of a next hop object.
_ROUTE_STATES = frozenset(
    "offload offload_failed trap rt_offload rt_trap unresolved cloned redirected notify".split()
)
_ROUTE_NUMBERS = frozenset(("error", "nhid"))
_ROUTE_TYPES = frozenset(
    "unicast local broadcast anycast multicast throw unreachable prohibit blackhole nat".split()
)
_RULE_STATES = frozenset(("[detached]", "unresolved"))
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]{1,64}")


def _words(line: str) -> list[str]:
    """The words of a line. Raises ValueError where one may not stand in a batch."""
    words = line.replace("\\", " ").split()
    if len(line) > MAX_LINE or not words:
        raise ValueError(f"not a line of `ip`: {quoted(line)}")
    for before, word in zip(["", *words], words, strict=False):
        if not _WORD.fullmatch(word) and word not in _RULE_STATES:
            if before not in ("dev", "iif", "oif"):
                raise ValueError(f"not a word of a line of `ip`: {quoted(word)}")
            device(word)
    return words


def same_route(line: str) -> str:
    """A line of `ip route` in a form that does not depend on how the route fares at the moment."""
    words = with_names(without_volatile(line)).replace("\\", " ").split()
    return " ".join(_without(words))


def _without(words: list[str]) -> list[str]:
    kept = []
    skip = False
    for word in words:
        if not skip and word not in _ROUTE_STATES and word not in _ROUTE_NUMBERS:
            kept.append(word)
        skip = not skip and word in _ROUTE_NUMBERS
    return kept


def route_words(line: str) -> str:
    """The arguments of `ip route add` for a route, given the line that shows it.

    Raises ValueError for a line that shows no route.
    """
    words = _without(_words(with_names(without_volatile(line))))
    at = 1 if words[0] in _ROUTE_TYPES else 0
    if len(words) <= at:
        raise ValueError(f"not a route: {quoted(line)}")
    if words[at] != "default":
        prefix(words[at])
    return " ".join(words)


def rule_words(line: str) -> str:
    """The arguments of `ip rule add` for a policy rule, given the line that shows it."""
    preference, _, rest = line.partition(":")
    number(preference, most=(1 << 32) - 1)
    words = [word for word in _words(rest) if word not in _RULE_STATES]
    return " ".join(["pref", preference, *words])


def neighbour_words(line: str) -> str:
    """The arguments of `ip neigh replace` for an entry, given the line that shows it."""
    words = _words(line)
    address(words[0])
    return " ".join(
        {"PERMANENT": "nud permanent", "NOARP": "nud noarp"}.get(word, word) for word in words
    )
