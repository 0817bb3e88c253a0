"""Causes that trials showed: where the packets of pairs that were pinged alone stopped. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from tasks.connectivity.probe import probes
from tasks.connectivity.verdict import Pair

from .condition import Packet
from .faults import Direction, FaultKind, PathFault, explain
from .firewall import Drop
from .model import Cause, Scene
from .trials import End, Trial, Trials
from .walk import Judgement, judge

T = TypeVar("T")

NO_ANSWER = ("FAILED", "INCOMPLETE")  # a neighbour that does not answer; see ip-neighbour(8)


def trial_causes(scene: Scene, tried: Trials, unexplained: Sequence[Pair]) -> list[Cause]:
    """The causes that trials showed. Each also explains the untried pairs that it concerns."""
    found: dict[PathFault, list[Pair]] = defaultdict(list)
    for trial in tried.trials:
        found[_fault(scene, trial)].append(trial.pair)
    seen = {trial.pair for trial in tried.trials}
    rest = [pair for pair in unexplained if pair not in seen]
    causes = []
    for fault, pairs in merged(found).items():
        alike: list[Pair] = []
        others: list[Pair] = []
        for pair in rest:
            like = fault.kind != FaultKind.NONE and fault.concerns(pair.source, pair.target)
            (alike if like else others).append(pair)
        causes.append(Cause(fault.machine, *explain(scene, fault, pairs), (*pairs, *alike)))
        rest = others
    if rest:
        words = "not tested one by one: there was no time for all pairs"
        again = "fix the other causes, then run fab verify again"
        causes.append(Cause("", words, again, tuple(rest)))
    return causes


def _packet(scene: Scene, trial: Trial, name: str, *, answer: bool) -> Packet:
    """The request of a trial, or the answer, as one of the two machines meets it."""
    pair = trial.pair
    family = pair.family
    source = _pod(scene, pair.source, family)
    if not pair.from_pod:
        source = str(scene.cluster.machine(pair.source).internal_ip(family) or "") or None
    target = _pod(scene, pair.target, family)
    at_source = name == pair.source
    own = at_source and not pair.from_pod
    pods = "" if own else scene.facts[name].pod_bridge or None
    link = scene.device(name, family) or None
    sends = at_source != answer
    hooks = {"prerouting", "forward", "postrouting"}
    if own:
        hooks = {"prerouting", "input"} if answer else {"output", "postrouting"}
    protocol = "tcp" if trial.tcp else "icmp" if family == 4 else "icmpv6"
    port = str(trial.tcp)
    ends = (target, source) if answer else (source, target)
    return Packet(
        {
            "source": ends[0],
            "target": ends[1],
            "iif": pods if sends else link,
            "oif": link if sends else pods,
            "protocol": protocol,
            "nfproto": f"ipv{family}",
            "ether": "ip" if family == 4 else "ip6",
            "pkttype": "host" if not own or answer else None,
            "fib": "local" if own and answer else "unicast",
            "type": "" if trial.tcp else f"echo-{'reply' if answer else 'request'}",
            "sport": (port if answer else None) if trial.tcp else "",
            "dport": (None if answer else port) if trial.tcp else "",
            "state": "established" if answer else "new",
        },
        frozenset(hooks),
    )


def _pod(scene: Scene, name: str, family: int) -> str | None:
    """The address of a machine's probe; None where it has none."""
    found = probes(scene.cluster.machine(name), scene.facts[name])
    return next((str(p.address) for p in found if p.address.version == family), None)


def _judged(scene: Scene, trial: Trial, name: str, *, answer: bool) -> Judgement:
    """What a machine's firewall does with the request of a trial, or with the answer."""
    evidence = scene.evidence.get(name)
    firewall = evidence.firewalls.get(trial.pair.family) if evidence else None
    if firewall is None:
        return Judgement(complete=False)
    return judge(firewall, _packet(scene, trial, name, answer=answer))


def _guilty(found: Judgement, end: End) -> Drop | None:
    """The rule that surely dropped the packets of a trial.

    A rule that counts has counted them: one packet may be somebody else's, so where nobody can say
    whether a rule matches, it has counted two at least.
    """
    for drop in found.certain:
        if drop.packets is None or drop.rule in end.dropped:
            return drop
    return next((drop for drop in found.possible if end.dropped.get(drop.rule, 0) > 1), None)


def _doubt(found: Judgement, end: End) -> tuple[Drop | None, ...]:
    """The rules that may have dropped the packets; None: one that was not listed."""
    rules = (d for d in found.possible if d.packets is None or d.rule in end.dropped)
    return (*rules, *(() if found.complete else (None,)))


def _fault(scene: Scene, trial: Trial) -> PathFault:
    """What stopped the packets of one trial."""
    pair = trial.pair
    source, target = pair.source, pair.target
    if trial.answered and trial.target.requests:
        return PathFault(FaultKind.NONE)
    if trial.source.neighbour in NO_ANSWER:
        return PathFault(FaultKind.LINK, source, target)
    if trial.refused_by:
        return _refused(scene, trial, trial.refused_by)
    if not trial.target.requests:
        return _one_way(scene, trial, answer=False)
    if trial.target.neighbour in NO_ANSWER:
        return PathFault(FaultKind.LINK, target, source)
    return _one_way(scene, trial, answer=True)


def _refused(scene: Scene, trial: Trial, name: str) -> PathFault:
    """The rule of a machine that refused the packets: the machine said so itself."""
    end = trial.source if name == trial.pair.source else trial.target
    found = _judged(scene, trial, name, answer=False)
    likely = (*found.certain, *found.possible)
    drop = _guilty(found, end) or next(iter(likely), None)
    return PathFault(FaultKind.FIREWALL, name, drop=drop)


def _one_way(scene: Scene, trial: Trial, *, answer: bool) -> PathFault:
    """What stopped the requests of a trial, or the answers, between the two machines."""
    ends = [(trial.pair.source, trial.source), (trial.pair.target, trial.target)]
    (sender, _), (receiver, last) = reversed(ends) if answer else ends
    found = {name: _judged(scene, trial, name, answer=answer) for name, _ in ends}
    for name, end in reversed(ends) if answer else ends:
        if drop := _guilty(found[name], end):
            return PathFault(FaultKind.FIREWALL, name, drop=drop)
    if last.filtered:
        return PathFault(FaultKind.REVERSE_PATH, receiver)
    reached = trial.reached and not answer
    for name, end in reversed(ends) if answer else ends:
        for doubt in _doubt(found[name], end) if name == receiver or not reached else ():
            return PathFault(FaultKind.UNKNOWN, name, drop=doubt)
    if reached:
        return PathFault(FaultKind.POD_SIDE, receiver)
    return PathFault(FaultKind.NETWORK, sender, receiver)


def merged(found: Mapping[PathFault, list[T]]) -> dict[PathFault, list[T]]:
    """Group faults between two machines by the machine that most of them share."""
    together = {fault: pairs for fault, pairs in found.items() if not fault.other}
    for kind in (FaultKind.LINK, FaultKind.NETWORK, FaultKind.BGP):
        between = {f: pairs for f, pairs in found.items() if f.kind == kind and f.other}
        while between:
            shared = _shared(list(between))
            part = [fault for fault in between if shared.concerns(fault.machine, fault.other)]
            together[shared] = [pair for fault in part for pair in between.pop(fault)]
    return together


def _shared(faults: Sequence[PathFault]) -> PathFault:
    """The machine, or the link, that most of these faults between two machines share."""
    others: dict[str, set[str]] = defaultdict(set)
    for fault in faults:
        others[fault.machine].add(fault.other)
        others[fault.other].add(fault.machine)
    kind = faults[0].kind
    if len(others) > 2 and all(len(met) > 1 for met in others.values()):
        return PathFault(kind)
    machine = max(others, key=lambda name: len(others[name]))
    sends = {f.machine == machine for f in faults if machine in (f.machine, f.other)}
    direction = Direction.FROM if sends == {True} else Direction.TO
    if len(sends) > 1:
        direction = Direction.BOTH
    other = next(iter(others[machine])) if len(others[machine]) == 1 else ""
    return PathFault(kind, machine, other, direction)
