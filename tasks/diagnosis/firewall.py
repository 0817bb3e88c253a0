"""Firewalls: where a machine's own rules drop packets, how many they dropped, and whose they are.

The listings are those of iptables-save(8) with counters and of `nft list ruleset` (nft(8)). Pure.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tasks.common import values
from tasks.common.text import typed_on
from tasks.common.values import Network

LONGEST = 90  # characters of a rule that a line has room for

SYSCTLS = "/etc/sysctl.d/99-pod-routes.conf"  # where a remedy puts a setting that has to stay

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
    """One place in a machine's firewall where packets end."""

    place: str  # in a few words, as the firewall's own listing names it
    hooks: frozenset[str]  # from which it is reached: prerouting, input, forward, ...
    packets: int | None  # dropped there so far; None where nobody counts
    owners: tuple[str, ...]  # Docker, ufw, firewalld; none where it was a person, or is unknown
    policy: bool  # what happens to packets that no rule has taken


@dataclass
class _Chain:
    """A chain while it is read."""

    hook: str = ""
    policy: tuple[str, int | None] | None = None  # what it does at its end, packets
    drops: list[tuple[str, int | None]] = field(default_factory=list)
    jumps: list[str] = field(default_factory=list)


_Chains = dict[tuple[str, str], _Chain]  # by table and name


def read_drops(lines: Iterable[str], family: int) -> tuple[Drop, ...]:
    """The drops in what `firewall` printed, for IP version 4 or 6; other lines are passed over."""
    listed = list(lines)
    cut = listed.index("nft") if "nft" in listed else len(listed)
    tables, chains = _iptables(listed[:cut])
    native = _nft(listed[cut + 1 :], family, tables)
    program = "iptables" if family == 4 else "ip6tables"
    return (*_drops(chains, program), *_drops(native, "nft"))


def _iptables(lines: Sequence[str]) -> tuple[set[str], _Chains]:
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
    """The chains of nft's tables, but for those that iptables has listed already."""
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
    """One line inside of a chain of nft's."""
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
    """A counter; what no kernel counts up to is none."""
    try:
        return values.number(digits)
    except ValueError:
        return None


def _drops(chains: _Chains, program: str) -> Iterable[Drop]:
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
    """The hooks that each chain is reached from: its own, and those of what jumps to it."""
    hooks: dict[tuple[str, str], set[str]] = {place: set() for place in chains}
    left = [(place, chain.hook) for place, chain in chains.items() if chain.hook]
    while left:
        place, hook = left.pop()
        if place in chains and hook not in hooks[place]:
            hooks[place].add(hook)
            left += [((place[0], jump), hook) for jump in chains[place].jumps]
    return hooks


def _shown(program: str, text: str) -> str:
    """A place in words, printable and on one line."""
    words = re.sub(r" ?(--reject-with|with) \S+( \S+)?$", "", text)
    return values.shown(f"{program}, {words}", LONGEST)


_HANDLES = {
    True: frozenset({"prerouting", "forward", "postrouting", "ingress"}),
    False: frozenset({"prerouting", "input", "output", "postrouting", "ingress"}),
}


@dataclass(frozen=True)
class Packets:
    """What a machine is to let through."""

    forwarded: bool  # else it sends them and receives the answers itself
    protocols: Collection[str]  # by the names that a rule may give to what they are
    networks: Collection[Network]  # that they come from and go to
    devices: Collection[str]  # of the machine, by which they come in and go out


def concerns(drop: Drop, packets: Packets) -> bool:
    """Whether a drop may be of these packets: false where its rule says that it is of others."""
    if drop.hooks and not drop.hooks & _HANDLES[packets.forwarded]:
        return False
    rule = drop.place.partition(": " if drop.place.startswith("nft") else ", ")[2]
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
    """Whether a prefix that a rule names shares an address with one of some networks."""
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


def set_for_good(setting: str, value: int) -> tuple[str, str]:
    """The commands that give a setting of sysctl(8) a value, now and after every start."""
    return f"echo {setting}={value} >>{SYSCTLS}", f"sysctl -p {SYSCTLS}"


def remedy(drop: Drop | None, pods: Sequence[Network], machine: str) -> str:
    """What lets packets to and from `pods` through for good; it depends on whose rule it is."""
    owners = drop.owners if drop else ()
    lines = []
    if "ufw" in owners:
        lines += [f"ufw route allow {way} {n}" for n in pods for way in ("from", "to")]
    if "firewalld" in owners:
        lines += [f"firewall-cmd --permanent --zone=trusted --add-source={n}" for n in pods]
        lines.append("firewall-cmd --reload")
    if "Docker" in owners:
        # Docker sets DROP at its start unless it finds forwarding on.
        six = drop is not None and drop.place.startswith("ip6tables")
        setting = "net.ipv6.conf.all.forwarding" if six else "net.ipv4.ip_forward"
        lines.append(f"{'ip6tables' if six else 'iptables'} -P FORWARD ACCEPT")
        lines += set_for_good(setting, 1)
    if lines:
        return typed_on(machine, *lines)
    every = ", ".join(map(str, pods))
    if drop is not None and drop.hooks and "forward" not in drop.hooks:
        return f"accept what comes from and goes to {every} before it"
    if drop is not None and drop.place.startswith("nft"):
        return f"accept {every} before it, in /etc/nftables.conf or where that table comes from"
    accepts = [
        f"{'iptables' if n.version == 4 else 'ip6tables'} -I FORWARD {end} {n} -j ACCEPT"
        for n in pods
        for end in ("-s", "-d")
    ]
    keep = "netfilter-persistent save  # of the package iptables-persistent"
    return typed_on(machine, *accepts, keep)
