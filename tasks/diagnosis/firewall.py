"""Firewalls: a machine's rules that drop packets, their counters, and the programs that own them.

The listings are those of iptables-save(8) with counters and of `nft list ruleset` (nft(8)). Pure.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tasks.common import values
from tasks.common.values import Network

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


@dataclass(frozen=True)
class Drop:
    """A rule or a policy of a machine's firewall that drops packets."""

    rule: str  # shortened, in the words of the firewall's own listing
    hooks: frozenset[str]  # that lead to it: prerouting, input, forward, ...
    packets: int | None  # dropped so far; None where it has no counter
    owners: tuple[str, ...]  # Docker, ufw, firewalld; empty where the owner is unknown
    policy: bool  # a policy: it applies to packets that no rule matches


@dataclass
class _Chain:
    """A chain while its listing is read."""

    hook: str = ""
    policy: tuple[str, int | None] | None = None  # a policy that drops, and its counter
    drops: list[tuple[str, int | None]] = field(default_factory=list)  # rules and counters
    jumps: list[str] = field(default_factory=list)  # names of chains


_Chains = dict[tuple[str, str], _Chain]  # by table and name


def read_drops(lines: Iterable[str], family: int) -> tuple[Drop, ...]:
    """The drops in what firewall.sh printed, for IP version 4 or 6. Other lines are ignored."""
    listed = list(lines)
    cut = listed.index("nft") if "nft" in listed else len(listed)
    tables, chains = _iptables(listed[:cut])
    native = _nft(listed[cut + 1 :], family, tables)
    program = "iptables" if family == 4 else "ip6tables"
    return (*_drops(chains, program), *_drops(native, "nft"))


def _iptables(lines: Sequence[str]) -> tuple[set[str], _Chains]:
    """The tables of iptables-save, and their chains."""
    chains: _Chains = defaultdict(_Chain)
    tables = set()
    table = ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
            tables.add(table)
        elif match := re.fullmatch(r":(\S+) (\S+) \[(\d+):\d+\]", line.strip()):
            chain = chains[table, match[1]]
            chain.hook = _HOOKS.get(match[1], "")
            if chain.hook and match[2] == "DROP":
                chain.policy = (f"policy DROP of {match[1]}", _counted(match[3]))
        elif match := re.fullmatch(r"\[(\d+):\d+\] (-A (\S+) .*-[jg] (\S+).*)", line.strip()):
            chain = chains[table, match[3]]
            if match[4] in ("DROP", "REJECT"):
                chain.drops.append((match[2], _counted(match[1])))
            else:
                chain.jumps.append(match[4])
    return tables, chains


def _nft(lines: Sequence[str], family: int, managed: set[str]) -> _Chains:
    """The chains of nft's tables, without those of `managed`: iptables has listed them already."""
    chains: _Chains = defaultdict(_Chain)
    table = name = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["table"] and len(words) > 2:
            kind, name = words[1], ""
            ours = kind in ("inet", "bridge", "netdev", "ip" if family == 4 else "ip6")
            table = f"{kind} {words[2]}" if ours else ""
            if kind in ("ip", "ip6") and words[2] in managed:
                table = ""
        elif words[:1] == ["chain"] and len(words) > 1:
            name = words[1]
        elif table and name:
            _rule(chains[table, name], line.strip(), f"{table} {name}")
    return chains


def _rule(chain: _Chain, line: str, where: str) -> None:
    """Add one line of nft's listing to its chain."""
    hook = re.search(r"\bhook (\w+)", line)
    counted = re.search(r"counter packets (\d+)", line)
    jumps = re.findall(r"\b(?:jump|goto) ([^\s,}]+)", line)
    if hook:
        chain.hook = hook[1] if hook[1] in _NFT_HOOKS else ""
        if "policy drop" in line:
            chain.policy = (f"policy drop of {where}", None)
    elif jumps:
        chain.jumps += jumps
    elif re.search(r"\b(drop|reject)\b", line):
        rule = re.sub(r"counter packets \d+ bytes \d+ ", "", line)
        chain.drops.append((f"{where}: {rule}", _counted(counted[1]) if counted else None))


def _counted(digits: str) -> int | None:
    """The value of a counter; None where the kernel cannot have printed it."""
    try:
        return values.number(digits)
    except ValueError:
        return None


def _drops(chains: _Chains, program: str) -> Iterable[Drop]:
    """The drops of all chains that a program listed."""
    names = {word for table, chain in chains for word in (*table.split(), chain)}
    everyone = tuple(who for mark, who in _OWNERS.items() if any(n.startswith(mark) for n in names))
    hooks = _hooks(chains)
    for (table, name), chain in chains.items():
        reached = frozenset(hooks[table, name])
        marks = (*table.split(), name)
        mine = tuple(w for mark, w in _OWNERS.items() if any(m.startswith(mark) for m in marks))
        for text, packets in chain.drops:
            yield Drop(_shown(program, text), reached, packets, mine, policy=False)
        if chain.policy:
            text, packets = chain.policy
            owners = mine if program == "nft" else everyone
            yield Drop(_shown(program, text), reached, packets, owners, policy=True)


def _hooks(chains: _Chains) -> dict[tuple[str, str], set[str]]:
    """The hooks that lead to each chain: its own, and those of the chains that jump to it."""
    hooks: dict[tuple[str, str], set[str]] = {place: set() for place in chains}
    left = [(place, chain.hook) for place, chain in chains.items() if chain.hook]
    while left:
        place, hook = left.pop()
        if place in chains and hook not in hooks[place]:
            hooks[place].add(hook)
            left += [((place[0], jump), hook) for jump in chains[place].jumps]
    return hooks


def _shown(program: str, text: str) -> str:
    """A rule, printable and on one line."""
    words = re.sub(r" ?(--reject-with|with) \S+( \S+)?$", "", text)
    return values.shown(f"{program}, {words}", MAX_CHARS)


_HANDLES = {
    True: frozenset({"prerouting", "forward", "postrouting", "ingress"}),
    False: frozenset({"prerouting", "input", "output", "postrouting", "ingress"}),
}


@dataclass(frozen=True)
class Packets:
    """Packets that a machine has to let through."""

    forwarded: bool  # False: the machine itself sends them and receives the answers
    protocols: Collection[str]  # theirs, by all names that rules use
    networks: Collection[Network]  # of their sources and destinations
    devices: Collection[str]  # of the machine, where they come in and go out


def concerns(drop: Drop, packets: Packets) -> bool:
    """Whether a rule may drop these packets. False where it says that it matches others only."""
    if drop.hooks and not drop.hooks & _HANDLES[packets.forwarded]:
        return False
    rule = drop.rule.partition(": " if drop.rule.startswith("nft") else ", ")[2]
    if drop.policy or "!" in rule:
        return True
    protocols = re.findall(r"\b(tcp|udp|sctp|icmp|icmpv6|ipv6-icmp)\b", rule)
    devices = re.findall(r'(?:\b[io]ifname|-[io]) "?([\w.:@-]+)"?(?= |$)', rule)
    prefixes = re.findall(r"(?:\b[sd]addr|-[sd]) ([\da-f.:]+(?:/\d+)?)", rule)
    return (
        (not protocols or any(word in packets.protocols for word in protocols))
        and all(device in packets.devices for device in devices)
        and all(_meets(prefix, packets.networks) for prefix in prefixes)
    )


def _meets(prefix: str, networks: Iterable[Network]) -> bool:
    """Whether a rule's prefix overlaps one of these networks; True where it cannot be read."""
    try:
        named = values.network(prefix)
    except ValueError:
        return True
    return any(
        int(named.network_address) <= int(n.broadcast_address)
        and int(n.network_address) <= int(named.broadcast_address)
        for n in networks
        if n.version == named.version
    )
