"""What a machine's firewall does with one packet: each chain that it passes is walked. Pure.

A packet passes every base chain of its hooks, in whatever table: to be accepted by one ends only
that one (nft(8), VERDICT STATEMENT). So it is dropped if any of them drops it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .condition import Condition, Elements, Packet, holds, outcomes
from .firewall import Chain, Drop, Firewall, Place, drop_at

MAX_STEPS = 200_000  # rules that are asked about one packet
MAX_DEPTH = 16  # chains that jump to each other: NFT_JUMP_STACK_SIZE

# Packets that a machine forwards between a pod and another machine pass its pod bridge as packets
# of the machine's own: they never meet the hook forward of a bridge (ebtables(8)).
_ON_BRIDGE = frozenset(("prerouting", "input", "output", "postrouting"))


@dataclass
class Judgement:
    """What drops a packet."""

    certain: list[Drop] = field(default_factory=list)
    possible: list[Drop] = field(default_factory=list)  # nobody can say
    complete: bool = True  # False: not all rules were seen


@dataclass
class _Walk:
    """One packet in one base chain."""

    firewall: Firewall
    packet: Packet
    hook: str
    table: str
    sets: Mapping[str, Elements]
    found: Judgement
    steps: int
    escaped: bool = False  # it may have been accepted

    def chain(self, name: str, sure: bool, depth: int = 0) -> bool:
        """Walk a chain. `sure`: the packet surely comes here. Returns whether it may come out."""
        place = (self.table, name)
        left = False  # it may have left before the last rule
        for number, (_, _, asked) in enumerate(self.firewall.chains[place].rules):
            self.steps -= 1 + sum(len(self.sets.get(named, ())) for named in asked.sets)
            if self.steps < 0 or depth > MAX_DEPTH:
                self.found.complete = False
                return True
            for surely, verdict, to in self._verdicts(asked):
                ends = leaves = verdict == "return"
                if verdict in ("jump", "goto") and (self.table, to) in self.firewall.chains:
                    out = self.chain(to, sure and surely, depth + 1)
                    ends = verdict == "goto" or not out
                    leaves = verdict == "goto" and out
                elif verdict == "accept":
                    ends = True
                    self.escaped = self.escaped or not (sure and surely)
                elif verdict in ("drop", "reject"):
                    ends = True
                    self._drop(place, number, sure and surely)
                elif verdict not in ("", "return", "continue"):  # nobody can say
                    self._drop(place, number, False)
                    self.escaped = True
                left = left or leaves
                if ends and surely:
                    return left
                sure = sure and not leaves
        return True

    def policy(self, name: str) -> None:
        """The packet comes to the end of the base chain."""
        if self.firewall.chains[self.table, name].policy:
            self._drop((self.table, name), -1, True)

    def _verdicts(self, asked: Condition) -> list[tuple[bool, str, str]]:
        """The verdicts that a rule may have: whether it surely has it, the verdict, the chain."""
        matches = holds(asked, self.packet, self.sets)
        if matches is False:
            return []
        if asked.table is None:
            return [(matches is True, asked.verdict, asked.chain)]
        found = outcomes(asked.table, self.packet, self.sets)
        return [(matches is True and surely, verdict, to) for surely, verdict, to in found]

    def _drop(self, place: Place, number: int, sure: bool) -> None:
        drop = drop_at(self.firewall, place, number, self.hook)
        (self.found.certain if sure and not self.escaped else self.found.possible).append(drop)


def judge(firewall: Firewall, packet: Packet) -> Judgement:
    """What a machine's firewall does with a packet."""
    found = Judgement(complete=firewall.complete)
    steps = MAX_STEPS
    if firewall.untracked:
        packet = Packet({**packet.facts, "state": None}, packet.hooks)
    for table, name in firewall.bases:
        chain = firewall.chains[table, name]
        met = _meets(chain, packet)
        if met is False:
            continue
        seen = packet
        if chain.kind == "bridge":
            seen = Packet({**packet.facts, "iif": None, "oif": None}, packet.hooks)
        walk = _Walk(firewall, seen, chain.hook, table, firewall.sets.get(table, {}), found, steps)
        walk.escaped = met is None
        if walk.chain(name, True):
            walk.policy(name)
        steps = walk.steps
    return found


def _meets(chain: Chain, packet: Packet) -> bool | None:
    """Whether a packet passes a chain's hook; None where nobody can say."""
    if chain.hook in ("ingress", "egress"):
        device = packet.facts["iif" if chain.hook == "ingress" else "oif"]
        if device == "":
            return False
        return None if device is None else device in chain.devices
    if chain.kind == "bridge":
        return None if chain.hook in _ON_BRIDGE else False
    return chain.hook in packet.hooks
