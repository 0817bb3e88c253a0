"""Rules as nft(8) and iptables-save(8) print them, read as conditions. Pure.

What is not known to this module makes a condition one of which nobody can say whether it matches.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from .condition import Condition, Element, Match

_TOKEN = re.compile(r'"[^"]*"|[{},;]|[^\s{},;"]+|"')
_VERDICTS = frozenset("accept drop reject return jump goto queue continue".split())
# Headers: before nft reads one, it asks whether the packet has it.
_HEADERS = {
    "ip": ("nfproto", "ipv4"),
    "ip6": ("nfproto", "ipv6"),
    **{name: ("protocol", name) for name in "icmp icmpv6 tcp udp udplite sctp dccp".split()},
}
_OPERATORS = frozenset(("&", "|", "^", "<", ">", "<=", ">=", "==", "!", "and", "or", "map"))
_ENDS = frozenset(("{", "}", ",", ";", "vmap", *_OPERATORS, *_VERDICTS))
# What nft asks of a packet: the words, and the name of it in Packet.facts.
_SELECTORS = {
    ("ip", "saddr"): "source",
    ("ip", "daddr"): "target",
    ("ip6", "saddr"): "source",
    ("ip6", "daddr"): "target",
    ("ip", "protocol"): "protocol",
    ("ip6", "nexthdr"): "protocol",
    ("meta", "l4proto"): "protocol",
    ("meta", "nfproto"): "nfproto",
    ("meta", "protocol"): "ether",
    ("ether", "type"): "ether",
    ("meta", "pkttype"): "pkttype",
    ("meta", "iifname"): "iif",
    ("meta", "oifname"): "oif",
    ("iifname",): "iif",
    ("oifname",): "oif",
    ("iif",): "iif",
    ("oif",): "oif",
    ("tcp", "dport"): "dport",
    ("tcp", "sport"): "sport",
    ("udp", "dport"): "dport",
    ("udp", "sport"): "sport",
    ("th", "dport"): "dport",
    ("th", "sport"): "sport",
    ("icmp", "type"): "type",
    ("icmpv6", "type"): "type",
    ("ct", "state"): "state",
    ("fib", "daddr", "type"): "fib",
}
# Statements that decide nothing, and how many words they have with their arguments.
_HARMLESS = {
    "counter": 1,
    "packets": 2,
    "bytes": 2,
    "name": 2,
    "comment": 2,
    "log": 1,
    "prefix": 2,
    "level": 2,
    "group": 2,
    "snaplen": 2,
    "queue-threshold": 2,
    "notrack": 1,
    ";": 1,
}

_OPTIONS = {
    "-s": "source",
    "-d": "target",
    "-i": "iif",
    "-o": "oif",
    "-p": "protocol",
    "--dport": "dport",
    "--sport": "sport",
    "--dports": "dport",
    "--sports": "sport",
    "--icmp-type": "type",
    "--icmpv6-type": "type",
    "--ctstate": "state",
    "--state": "state",
}
_MODULES = frozenset("conntrack state comment tcp udp icmp icmp6 multiport".split())
_TARGETS = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "reject",
    "RETURN": "return",
    "NFQUEUE": "queue",
}
# Targets after which the next rule is asked: iptables-extensions(8), TARGET EXTENSIONS.
_GO_ON = frozenset(
    "AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK IDLETIMER LED LOG MARK NFLOG"
    " NOTRACK RATEEST SECMARK SET TCPMSS TCPOPTSTRIP TEE TOS TRACE TTL ULOG".split()
)


def tokens(text: str) -> list[str]:
    """The words of one of nft's lines. Braces and commas are words of their own."""
    return _TOKEN.findall(text)


@dataclass
class _Words:
    """Words that are read from left to right."""

    words: Sequence[str]
    place: int = 0

    def next(self, number: int = 1) -> tuple[str, ...]:
        """The words that follow, so many at most."""
        return tuple(self.words[self.place : self.place + number])

    def take(self) -> str:
        """Read one word; empty at the end."""
        self.place += 1
        return self.words[self.place - 1] if self.place <= len(self.words) else ""

    def took(self, word: str) -> bool:
        """Read one word if it is this one."""
        found = self.next() == (word,)
        self.place += found
        return found


def nft_rule(text: str) -> Condition:
    """Read one of nft's rules: `ip saddr 10.0.0.0/8 counter drop`."""
    left = _Words(tokens(text))
    matches: list[Match] = []
    known = True
    while next_word := "".join(left.next()):
        if next_word in _VERDICTS:
            verdict = left.take()
            chain = left.take() if verdict in ("jump", "goto") else ""
            return Condition(tuple(matches), known, verdict, chain)
        if next_word in _HARMLESS:
            left.place += _HARMLESS[next_word]
            continue
        if next_word in _HEADERS:
            part, value = _HEADERS[next_word]
            matches.append(Match((part,), (Element((value,)),)))
        parts = _parts(left)
        mapped = left.took("vmap")
        match = _match(parts, left) if parts or mapped else None
        if mapped:
            return Condition(tuple(matches), known, table=match or Match((), ()))
        if match is None:
            known = False
            _skip(left)
        else:
            matches.append(match)
    return Condition(tuple(matches), known)


def nft_elements(text: str) -> tuple[Element, ...]:
    """Read the elements of a set or a map: `elements = { 10.0.0.1, 10.0.0.2 }`."""
    return _elements(_Words(tokens(text), 3))


def _parts(left: _Words) -> tuple[str, ...]:
    """Read what is asked for, such as `ip saddr . ip daddr`. Empty, and nothing read: not known."""
    start = left.place
    parts: list[str] = []
    while not parts or left.took("."):
        length = next((n for n in (3, 2, 1) if left.next(n) in _SELECTORS), 0)
        if not length:
            left.place = start
            return ()
        parts.append(_SELECTORS[left.next(length)])
        left.place += length
    return tuple(parts)


def _match(parts: tuple[str, ...], left: _Words) -> Match | None:
    """Read what parts are compared with. None: not known."""
    negated = left.took("!=")
    first = "".join(left.next())
    if first.startswith("@"):
        return Match(parts, (), left.take()[1:], negated)
    if left.took("{"):
        return Match(parts, _elements(left), "", negated)
    if not first or first in _ENDS:
        return None
    listed = [Element((left.take(),))]
    while left.took(","):
        listed.append(Element((left.take(),)))
    return Match(parts, tuple(listed), "", negated)


def _skip(left: _Words) -> None:
    """Leave out what is not known: up to the verdict, or the map of verdicts."""
    depth = 0
    while (word := "".join(left.next())) and (depth or word not in {"vmap", *_VERDICTS}):
        depth += {"{": 1, "}": -1}.get(left.take(), 0)


def _elements(left: _Words) -> tuple[Element, ...]:
    """Read elements up to the brace that ends them."""
    elements: list[Element] = []
    words: list[str] = []
    while (word := left.take()) and word != "}":
        if word != ",":
            words.append(word)
        elif words:
            elements.append(_element(words))
            words = []
    return (*elements, _element(words)) if words else tuple(elements)


def _element(words: Sequence[str]) -> Element:
    """One element. What follows its key, such as a counter or a comment, is left out."""
    end = words.index(":") if ":" in words else len(words)
    key, verdict = words[:end], "".join(words[end + 1 : end + 2])
    pairs = zip(key[1::2], key[2::2], strict=False)
    more = (part for _, part in takewhile(lambda pair: pair[0] == ".", pairs))
    if verdict not in _VERDICTS:
        return Element((*key[:1], *more))
    return Element((*key[:1], *more), verdict, "".join(words[end + 2 : end + 3]))


def iptables_rule(text: str) -> Condition:
    """Read a rule as iptables-save prints it: `-A FORWARD -s 10.0.0.0/8 -j DROP`."""
    left = _Words(re.findall(r'"(?:[^"\\]|\\.)*"|[^\s"]+|"', text), 2)
    matches: list[Match] = []
    known = True
    while left.next():
        negated = left.took("!")
        option = left.take()
        if option in ("-j", "-g"):
            target = left.take()
            verdict = _TARGETS.get(target) or ("" if target in _GO_ON else "jump")
            if verdict == "jump":
                way = "jump" if option == "-j" else "goto"
                return Condition(tuple(matches), known, way, target)
            return Condition(tuple(matches), known, verdict)
        if option in _OPTIONS:
            value = left.take()
            if value != "any":  # of the types of ICMP
                matches.append(Match((_OPTIONS[option],), _listed(option, value), "", negated))
        elif option == "-m":
            known &= left.take() in _MODULES
        elif option == "--comment":
            left.take()
        else:
            known = False
    return Condition(tuple(matches), known)


def _listed(option: str, value: str) -> tuple[Element, ...]:
    """The values of an option of iptables, as nft writes them."""
    if option in ("-i", "-o"):
        value = f"{value[:-1]}*" if value.endswith("+") else value
    elif "port" in option:
        value = value.replace(":", "-")
    elif "type" in option:
        value = value.partition("/")[0]
    elif "state" in option:
        value = value.lower()
    return tuple(Element((word,)) for word in value.split(","))
