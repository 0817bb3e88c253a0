"""Causes that were seen: where the packets of pairs that were pinged alone stopped. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks.common.text import typed_on
from tasks.common.values import host
from tasks.connectivity.verdict import Pair
from tasks.facts.providers import PROVIDERS, provider_of

from .firewall import Drop, Packets, concerns, remedy, set_for_good
from .isolate import Trial, Trials
from .model import Cause, Scene

UNHEARD = ("FAILED", "INCOMPLETE")  # a neighbour that does not answer; see ip-neighbour(8)

Kind = Literal["firewall", "reverse path", "inside", "link", "lost", "answers"]


@dataclass(frozen=True)
class Point:
    """Where packets point."""

    kind: Kind
    machine: str = ""  # at it, or on the network around it; empty: everywhere
    other: str = ""  # between the two only
    way: Literal["from", "to", "both"] = "from"  # of a machine, for what is lost on the network
    drop: Drop | None = None

    def between(self, one: str, other: str) -> bool:
        """Whether packets between two machines stop here."""
        ends = {one, other}
        return not self.machine or (self.machine in ends and (not self.other or self.other in ends))


def trial_causes(scene: Scene, tried: Trials, unexplained: Sequence[Pair]) -> list[Cause]:
    """The causes that were seen in trials; each also explains the pairs like those."""
    found: dict[Point, list[Pair]] = defaultdict(list)
    for trial in tried.trials:
        found[_where(scene, _concerning(scene, trial))].append(trial.pair)
    seen = {trial.pair for trial in tried.trials}
    rest = [pair for pair in unexplained if pair not in seen]
    causes = []
    for point, pairs in _joined(found).items():
        alike: list[Pair] = []
        others: list[Pair] = []
        for pair in rest:
            like = point.kind != "answers" and point.between(pair.source, pair.target)
            (alike if like else others).append(pair)
        causes.append(Cause(point.machine, *_told(scene, point, pairs), (*pairs, *alike)))
        rest = others
    if rest:
        words = "not looked at one by one: there was not time for all"
        causes.append(Cause("", words, "mend the others, then fab verify again", tuple(rest)))
    return causes


def _concerning(scene: Scene, trial: Trial) -> Trial:
    """The same trial, without what its firewalls dropped of others' packets meanwhile."""
    source, target = (
        replace(end, drops=tuple(d for d in end.drops if concerns(d, _packets(scene, trial, name))))
        for name, end in ((trial.pair.source, trial.source), (trial.pair.target, trial.target))
    )
    return replace(trial, source=source, target=target)


def _packets(scene: Scene, trial: Trial, name: str) -> Packets:
    """What one end of a trial has to let through."""
    pair = trial.pair
    machines = [scene.cluster.machine(end) for end in (pair.source, pair.target)]
    return Packets(
        forwarded=pair.from_pod or name == pair.target,
        protocols=("tcp",) if trial.tcp else ("icmp", "icmpv6", "ipv6-icmp"),
        networks=[n for m in machines for n in (*m.pod_cidrs, *map(host, m.internal_ips))],
        devices=(scene.device(name, pair.family), scene.facts[name].pod_bridge),
    )


def _where(scene: Scene, trial: Trial) -> Point:
    """Where the packets of one trial stopped."""
    pair = trial.pair
    source, target = pair.source, pair.target
    if trial.answered and trial.target.requests:
        return Point("answers")
    if trial.source.neighbour in UNHEARD:
        return Point("link", source, target)
    if trial.refused_by:
        risen = trial.source if trial.refused_by == source else trial.target
        drop = next(iter(risen.drops), None) or _hidden(scene, trial, trial.refused_by)
        return Point("firewall", trial.refused_by, drop=drop)
    if not trial.target.requests:
        return _on_the_way(scene, trial, source, target)
    if trial.target.neighbour in UNHEARD:
        return Point("link", target, source)
    back = replace(trial, reached=False, source=trial.target, target=trial.source)
    return _on_the_way(scene, back, target, source)


def _on_the_way(scene: Scene, trial: Trial, sender: str, receiver: str) -> Point:
    """Where packets stop that one machine sends on and another should deliver."""
    if trial.target.filtered and not trial.source.drops:
        return Point("reverse path", receiver)
    for name, end in ((sender, trial.source), (receiver, trial.target)):
        if end.drops:
            return Point("firewall", name, drop=end.drops[0])
    gets_out = any(p.ok and p.from_pod and p.source == sender for p in scene.pairs)
    suspect = receiver if trial.reached else sender
    uncounted = _hidden(scene, trial, suspect)
    if uncounted and (trial.reached or not gets_out):
        return Point("firewall", suspect, drop=uncounted)
    return Point("inside", receiver) if trial.reached else Point("lost", sender, receiver)


def _hidden(scene: Scene, trial: Trial, name: str) -> Drop | None:
    """A place where a machine's firewall may drop forwarded packets, and counts nothing."""
    evidence = scene.evidence.get(name)
    packets = _packets(scene, trial, name)
    likely = [
        drop
        for drop in (evidence.drops.get(trial.pair.family, ()) if evidence else ())
        if drop.packets is None
        and "forward" in drop.hooks
        and "ct state invalid" not in drop.place
        and concerns(drop, packets)
    ]
    return min(likely, key=lambda drop: not drop.policy, default=None)


def _joined(found: Mapping[Point, list[Pair]]) -> dict[Point, list[Pair]]:
    """The same, but what stops between machines is told of the one that they have in common."""
    joined = {s: pairs for s, pairs in found.items() if not s.other}
    for kind in ("link", "lost"):
        edges = {s: pairs for s, pairs in found.items() if s.kind == kind}
        while edges:
            common = _common(list(edges))
            part = [s for s in edges if common.between(s.machine, s.other)]
            joined[common] = [pair for s in part for pair in edges.pop(s)]
    return joined


def _common(edges: Sequence[Point]) -> Point:
    """What most of some stops between two machines have in common."""
    others: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        others[edge.machine].add(edge.other)
        others[edge.other].add(edge.machine)
    kind = edges[0].kind
    if len(others) > 2 and all(len(met) > 1 for met in others.values()):
        return Point(kind)
    machine = max(others, key=lambda name: len(others[name]))
    mine = [edge for edge in edges if machine in (edge.machine, edge.other)]
    sends = {edge.machine == machine for edge in mine}
    way: Literal["from", "to", "both"] = (
        "both" if len(sends) > 1 else "from" if sends == {True} else "to"
    )
    other = next(iter(others[machine])) if len(others[machine]) == 1 else ""
    return Point(kind, machine, other, way)


def _told(scene: Scene, point: Point, pairs: Sequence[Pair]) -> tuple[str, str]:
    """A stop in words, and its remedy."""
    name = point.machine
    if point.kind == "firewall":
        return _told_firewall(scene, point, pairs)
    if point.kind == "reverse path":
        devices = [scene.device(name, 4), scene.facts[name].pod_bridge]
        strict = (scene.evidence[name].strict(dev) for dev in devices if name in scene.evidence)
        setting = next(filter(None, strict), "net.ipv4.conf.all.rp_filter")
        return (
            f"{name} drops what comes by another way than its own back: {setting} is 1",
            typed_on(name, *set_for_good(setting, 2)),
        )
    if point.kind == "inside":
        bridge = scene.facts[name].pod_bridge
        return (
            f"packets come to {name}, but not to its pods",
            typed_on(
                f"{name}, to look",
                f"ip -details link show master {bridge}",
                "bridge vlan",
                "nft list ruleset",
            ),
        )
    if point.kind == "link":
        return _told_link(scene, point, pairs[0].family)
    if point.kind == "lost":
        return _told_lost(scene, point, pairs)
    return "answered when pinged alone: packets get lost at times", "fab verify again"


def _told_firewall(scene: Scene, point: Point, pairs: Sequence[Pair]) -> tuple[str, str]:
    drop = point.drop
    mends = remedy(drop, scene.pods(pairs), point.machine)
    if drop is None:
        return f"{point.machine}'s firewall refuses packets for pods", mends
    owner = f" (set by {' or '.join(drop.owners)})" if drop.owners else ""
    return f"{point.machine}'s firewall drops packets for pods: {drop.place}{owner}", mends


def _told_link(scene: Scene, point: Point, family: int) -> tuple[str, str]:
    name, other = point.machine, point.other
    if not name:
        return (
            "the machines do not hear each other on the link of their internal IPs",
            "put them into one layer 2 network: the same VLAN, the same private network",
        )
    whom = other or "the others"
    return (
        f"{name} and {whom} do not hear each other on the link of their internal IPs",
        f"is {scene.device(name, family)} of {name} in the VLAN or private network of {whom}?",
    )


def _told_lost(scene: Scene, point: Point, pairs: Sequence[Pair]) -> tuple[str, str]:
    name = point.machine
    whom = point.other or "the others"
    words = {
        "from": f"what {name}'s pods send to {whom} gets lost on the network between them",
        "to": f"what is sent to {name}'s pods by {whom} gets lost on the network between them",
        "both": f"packets between the pods of {name} and {whom} get lost on the network",
    }[point.way]
    known = {provider_of(scene.facts[m]) for m in ([name] if name else scene.facts)} - {""}
    notes = [PROVIDERS[provider].notes[0] for provider in known]
    general = "let {pods} through there: security groups, anti-spoofing, port security"
    pods = ", ".join(map(str, scene.pods(pairs)))
    return (
        words if name else "packets between pods get lost on the network between the machines",
        (notes[0] if len(notes) == 1 else general).format(pods=pods),
    )
