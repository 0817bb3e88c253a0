"""Causes that trials showed: where the packets of pairs that were pinged alone stopped. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks.common.values import host
from tasks.connectivity.verdict import Pair

from .faults import Direction, FaultKind, PathFault, explain
from .firewall import Drop, Packets, concerns
from .model import Cause, Scene
from .trials import Trial, Trials

NO_ANSWER = ("FAILED", "INCOMPLETE")  # a neighbour that does not answer; see ip-neighbour(8)


def trial_causes(scene: Scene, tried: Trials, unexplained: Sequence[Pair]) -> list[Cause]:
    """The causes that trials showed. Each also explains the untried pairs that it concerns."""
    found: dict[PathFault, list[Pair]] = defaultdict(list)
    for trial in tried.trials:
        found[_fault(scene, _without_other_drops(scene, trial))].append(trial.pair)
    seen = {trial.pair for trial in tried.trials}
    rest = [pair for pair in unexplained if pair not in seen]
    causes = []
    for fault, pairs in _merged(found).items():
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


def _without_other_drops(scene: Scene, trial: Trial) -> Trial:
    """The same trial, without what its firewalls dropped of other packets meanwhile."""
    source, target = (
        replace(end, drops=tuple(d for d in end.drops if concerns(d, _packets(scene, trial, name))))
        for name, end in ((trial.pair.source, trial.source), (trial.pair.target, trial.target))
    )
    return replace(trial, source=source, target=target)


def _packets(scene: Scene, trial: Trial, name: str) -> Packets:
    """The packets of a trial that one of its ends has to let through."""
    pair = trial.pair
    machines = [scene.cluster.machine(end) for end in (pair.source, pair.target)]
    return Packets(
        forwarded=pair.from_pod or name == pair.target,
        protocols=("tcp",) if trial.tcp else ("icmp", "icmpv6", "ipv6-icmp"),
        networks=[n for m in machines for n in (*m.pod_cidrs, *map(host, m.internal_ips))],
        devices=(scene.device(name, pair.family), scene.facts[name].pod_bridge),
    )


def _fault(scene: Scene, trial: Trial) -> PathFault:
    """What stopped the packets of one trial."""
    pair = trial.pair
    source, target = pair.source, pair.target
    if trial.answered and trial.target.requests:
        return PathFault(FaultKind.NONE)
    if trial.source.neighbour in NO_ANSWER:
        return PathFault(FaultKind.LINK, source, target)
    if trial.refused_by:
        end = trial.source if trial.refused_by == source else trial.target
        drop = next(iter(end.drops), None) or _uncounted(scene, trial, trial.refused_by)
        return PathFault(FaultKind.FIREWALL, trial.refused_by, drop=drop)
    if not trial.target.requests:
        return _one_way(scene, trial, source, target)
    if trial.target.neighbour in NO_ANSWER:
        return PathFault(FaultKind.LINK, target, source)
    back = replace(trial, reached=False, source=trial.target, target=trial.source)
    return _one_way(scene, back, target, source)


def _one_way(scene: Scene, trial: Trial, sender: str, receiver: str) -> PathFault:
    """What stopped packets that one machine sends on and another should deliver."""
    if trial.target.filtered and not trial.source.drops:
        return PathFault(FaultKind.REVERSE_PATH, receiver)
    for name, end in ((sender, trial.source), (receiver, trial.target)):
        if end.drops:
            return PathFault(FaultKind.FIREWALL, name, drop=end.drops[0])
    gets_out = any(p.ok and p.from_pod and p.source == sender for p in scene.pairs)
    suspect = receiver if trial.reached else sender
    drop = _uncounted(scene, trial, suspect)
    if drop and (trial.reached or not gets_out):
        return PathFault(FaultKind.FIREWALL, suspect, drop=drop)
    if trial.reached:
        return PathFault(FaultKind.POD_SIDE, receiver)
    return PathFault(FaultKind.NETWORK, sender, receiver)


def _uncounted(scene: Scene, trial: Trial, name: str) -> Drop | None:
    """A rule of a machine's firewall that may drop these packets, and has no counter."""
    evidence = scene.evidence.get(name)
    packets = _packets(scene, trial, name)
    likely = [
        drop
        for drop in (evidence.drops.get(trial.pair.family, ()) if evidence else ())
        if drop.packets is None
        and "forward" in drop.hooks
        and "ct state invalid" not in drop.rule
        and concerns(drop, packets)
    ]
    return min(likely, key=lambda drop: not drop.policy, default=None)


def _merged(found: Mapping[PathFault, list[Pair]]) -> dict[PathFault, list[Pair]]:
    """Group faults between two machines by the machine that most of them share."""
    merged = {fault: pairs for fault, pairs in found.items() if not fault.other}
    for kind in (FaultKind.LINK, FaultKind.NETWORK):
        between = {fault: pairs for fault, pairs in found.items() if fault.kind == kind}
        while between:
            shared = _shared(list(between))
            part = [fault for fault in between if shared.concerns(fault.machine, fault.other)]
            merged[shared] = [pair for fault in part for pair in between.pop(fault)]
    return merged


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
