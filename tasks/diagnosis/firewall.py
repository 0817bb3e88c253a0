"""Firewalls: a machine's tables, chains, rules and sets, as its own programs list them.

The listings are those of iptables-save(8) with counters and of `nft list ruleset` (nft(8)). Pure.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from tasks.common import values

from .condition import Condition, Elements
from .rules import iptables_rule, nft_elements, nft_rule, tokens

MAX_CHARS = 90  # of a rule, so that it fits on a line

_HOOKS = {
    "PREROUTING": "prerouting",
    "INPUT": "input",
    "FORWARD": "forward",
    "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}
_NFT_HOOKS = frozenset({*_HOOKS.values(), "ingress", "egress"})  # nft(8), ADDRESS FAMILIES
_OWNERS = {"DOCKER": "Docker", "ufw": "ufw", "firewalld": "firewalld"}
_BLOCKS = frozenset("table chain set map flowtable ct counter quota limit secmark synproxy".split())

Place = tuple[str, str]  # a table, with its program or family, and a chain or a set in it


@dataclass(frozen=True)
class Drop:
    """A rule or a policy of a machine's firewall that drops packets."""

    rule: str  # shortened, in the words of the firewall's own listing
    hook: str  # that leads to it: prerouting, input, forward, ...
    packets: int | None  # dropped so far; None where it has no counter
    owners: tuple[str, ...]  # Docker, ufw, firewalld; empty where the owner is unknown
    policy: bool  # a policy: it applies to packets that no rule matches


class Rule(NamedTuple):
    """A rule of a chain."""

    text: str  # with its place, without its counter
    packets: int | None  # how many it dropped; None where it does not count them
    asked: Condition


@dataclass
class Chain:
    """A chain. It is complete once its listing is read."""

    where: str  # how its rules are shown: "iptables, " or "nft, inet filter forward: "
    kind: str  # ip, ip6, inet, bridge or netdev
    hook: str = ""  # empty: only other chains lead to it
    devices: tuple[str, ...] = ()  # of the hooks ingress and egress
    policy: tuple[str, int | None] | None = None  # a policy that drops, and its counter
    listed: list[str] = field(default_factory=list)  # its rules, in their program's words

    @cached_property
    def rules(self) -> Sequence["Rule"]:
        """Its rules. They are read when a packet first comes here: most never see one."""
        return [_rule(self.where, line) for line in self.listed]


@dataclass(frozen=True)
class Firewall:
    """All that a machine's firewall does with packets of one address family."""

    chains: Mapping[Place, Chain] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, Elements]] = field(default_factory=dict)  # by table and name
    bases: tuple[Place, ...] = ()  # the chains that a hook leads to
    untracked: bool = False  # some packets have no connection state
    complete: bool = False  # False: some of it was not listed


def read_firewall(lines: Iterable[str], family: int) -> Firewall:
    """Read what firewall.sh printed, for IP version 4 or 6. Lines that mean nothing are ignored."""
    listed = list(lines)
    cut = listed.index("nft") if "nft" in listed else len(listed)
    chains: dict[Place, Chain] = {}
    managed = _iptables(listed[:cut], family, chains)
    sets = _nft(listed[cut + 1 :], family, managed, chains)
    bases = tuple(place for place, chain in chains.items() if chain.hook)
    untracked = any("notrack" in line.lower() for c in chains.values() for line in c.listed)
    complete = listed[-1:] == ["complete"] and "unread" not in listed
    return Firewall(chains, sets, bases, untracked, complete)


def _iptables(lines: Sequence[str], family: int, chains: dict[Place, Chain]) -> set[str]:
    """Add the chains of iptables-save. Returns the tables that nft lists too."""
    kind = "ip" if family == 4 else "ip6"
    program, backend = f"{kind}tables", "nft"
    table = ""
    managed = set()
    for line in lines:
        words = line.split()
        if words[:1] == ["program"] and len(words) == 3:
            _, program, backend = words
        elif line.startswith("*"):
            table = line[1:].strip()
            managed |= {table} if backend == "nft" else set()
        elif match := re.fullmatch(r":(\S+) (\S+) \[(\d+):\d+\]", line.strip()):
            chain = chains.setdefault((f"{program} {table}", match[1]), Chain(f"{program}, ", kind))
            chain.hook = _HOOKS.get(match[1], "")
            if chain.hook and match[2] == "DROP":
                chain.policy = (f"{program}, policy DROP of {match[1]}", _counted(match[3]))
        elif match := re.fullmatch(r"\[\d+:\d+\] -A (\S+) .*", line.strip()):
            place = (f"{program} {table}", match[1])
            chains.setdefault(place, Chain(f"{program}, ", kind)).listed.append(line.strip())
    return managed


def _nft(
    lines: Sequence[str], family: int, managed: set[str], chains: dict[Place, Chain]
) -> Mapping[str, Mapping[str, Elements]]:
    """Add the chains of nft's tables without those in `managed`. Returns their sets and maps."""
    ip = "ip" if family == 4 else "ip6"
    sets: dict[str, dict[str, Elements]] = defaultdict(dict)
    table = kind = block = name = ""
    for line, words in _statements(lines):
        if words[-1] == "{" and words[0] in _BLOCKS:
            block, name = words[0], words[-2]
            if block == "table":
                kind = words[1]
                known = kind in (ip, "inet", "bridge", "netdev") and len(words) > 3
                table = f"nft, {kind} {words[2]}" if known else ""
                if kind == ip and words[2] in managed:
                    table = ""  # iptables has listed it already
            elif table and block in ("set", "map"):
                sets[table][name] = Elements(())
            elif table and block == "chain":
                chains.setdefault((table, name), Chain(f"{table} {name}: ", kind))
        elif not table or words[0] == "}":
            continue
        elif block == "chain" and words[0] == "type":
            _base(chains[table, name], words, f"{table} {name}")
        elif block == "chain":
            chains[table, name].listed.append(line)
        elif block in ("set", "map") and words[0] == "elements":
            sets[table][name] = Elements(nft_elements(line))
    return sets


def _statements(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The statements of nft's listing, with their words. One that was split is put together."""
    text: list[str] = []
    words: list[str] = []
    depth = 0
    for line in lines:
        found = tokens(line)
        if not words and found[-1:] == ["{"] and found[0] in _BLOCKS:
            yield line, found
            continue
        depth += found.count("{") - found.count("}")
        text.append(line.strip())
        words += found
        if depth <= 0 and words:
            yield " ".join(text), words
            text, words, depth = [], [], 0


def _base(chain: Chain, words: Sequence[str], where: str) -> None:
    """Read the head of a base chain: `type filter hook forward priority filter; policy drop;`."""
    after = dict(pairwise(words))
    chain.hook = after.get("hook", "") if after.get("hook") in _NFT_HOOKS else ""
    if "device" in words or "devices" in words:
        end = words.index("priority") if "priority" in words else len(words)
        named = words[words.index("device" if "device" in words else "devices") + 1 : end]
        chain.devices = tuple(w.strip('"') for w in named if w not in ("=", "{", "}", ","))
    if after.get("policy") == "drop":
        chain.policy = (where.replace("nft, ", "nft, policy drop of ", 1), None)


def _counted(digits: str) -> int | None:
    """The value of a counter; None where the kernel cannot have printed it."""
    try:
        return values.number(digits)
    except ValueError:
        return None


def _rule(where: str, listed: str) -> Rule:
    """Read a rule as iptables-save or nft prints it."""
    if where.startswith("nft"):
        # A counter counts the packets that come so far: those dropped, if the verdict is next.
        counted = re.search(r"counter packets (\d+) bytes \d+ (?:drop|reject|queue)\b", listed)
        text = re.sub(r"counter packets \d+ bytes \d+ ", "", listed)
        return Rule(f"{where}{text}", _counted(counted[1]) if counted else None, nft_rule(text))
    count, _, text = listed.partition(" ")
    asked = iptables_rule(text)
    packets = _counted(count[1:].partition(":")[0]) if asked.drops else None
    return Rule(f"{where}{text}", packets, asked)


def counters(firewall: Firewall) -> dict[str, int]:
    """How many packets each rule and each policy has dropped that counts them, by its text."""
    found: dict[str, int] = defaultdict(int)
    for chain in firewall.chains.values():
        rules = (rule[:2] for rule in chain.rules)
        for text, packets in (*rules, *([chain.policy] if chain.policy else ())):
            if packets is not None:
                found[shown(text)] += packets
    return dict(found)


def drop_at(firewall: Firewall, place: Place, number: int, hook: str) -> Drop:
    """The drop by a rule of a chain, or by its policy where `number` is -1."""
    (table, name), chain = place, firewall.chains[place]
    policy = number < 0
    text, packets = (chain.policy or ("", None)) if policy else chain.rules[number][:2]
    marks: Iterable[str] = (*table.split(), name)
    if policy and _program(table) != "nft":
        # ufw and Docker set the policy of a chain that is not theirs.
        marks = (c for t, c in firewall.chains if _program(t) == _program(table))
    return Drop(shown(text), hook, packets, _owners(marks), policy)


def _program(table: str) -> str:
    """The program that lists a table: nft, iptables, ip6tables-legacy, ..."""
    return re.split("[ ,]", table, maxsplit=1)[0]


def _owners(marks: Iterable[str]) -> tuple[str, ...]:
    """The programs that name tables or chains like these."""
    found = list(marks)
    return tuple(who for mark, who in _OWNERS.items() if any(f.startswith(mark) for f in found))


def shown(text: str) -> str:
    """A rule, printable and on one line."""
    return values.shown(re.sub(r" ?(--reject-with|with) \S+( \S+)?$", "", text), MAX_CHARS)
