"""Verdicts: what the pings between all machines say of each pair. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .cluster import Cluster
from .facts import Facts
from .probe import COUNT, Ping, Report

Verdict = Literal["ok", "large lost", "masqueraded", "no forwarding", "silent", "no probe"]


@dataclass(frozen=True)
class Pair:
    """One way from a machine to a worker's pods, in one address family.

    `from_pod`: from a pod's place; otherwise from the machine itself. `masqueraded` says that
    the routes are not proven, but that a pod would get through by its node's address.
    """

    source: str
    target: str
    family: int
    from_pod: bool
    verdict: Verdict
    received: int = 0  # of COUNT
    rtt: float | None = None  # milliseconds

    @property
    def ok(self) -> bool:
        """Whether the routes are proven both ways, for packets of every size."""
        return self.verdict == "ok"

    @property
    def loss(self) -> int:
        """Unanswered pings in percent."""
        return round(100 * (COUNT - self.received) / COUNT)


def judge(
    cluster: Cluster, facts: Mapping[str, Facts], reports: Mapping[str, Report]
) -> list[Pair]:
    """A verdict for every machine and every other worker's pods, in the cluster's order."""
    pairs = []
    for machine in cluster.machines:
        if machine.name not in facts:
            continue
        report = reports.get(machine.name)
        pings = {(p.worker, p.family, p.from_pod): p for p in report.pings} if report else {}
        for worker in cluster.workers:
            if worker.name == machine.name or worker.name not in facts:
                continue
            for family in (cidr.version for cidr in worker.pod_cidrs):
                host = pings.get((worker.name, family, False))
                pairs.append(_pair(machine.name, worker.name, family, False, host, "silent"))
                if machine.role == "worker":
                    pod = pings.get((worker.name, family, True))
                    masked = facts[machine.name].masquerades
                    ends = (report, reports.get(worker.name))
                    verdict = _unanswered(
                        ends, family, masked and host is not None and host.answers
                    )
                    pair = _pair(machine.name, worker.name, family, True, pod, verdict)
                    pairs.append(_with_settings(pair, ends))
    return pairs


def _pair(
    source: str, target: str, family: int, from_pod: bool, ping: Ping | None, unanswered: Verdict
) -> Pair:
    if ping is None:
        return Pair(source, target, family, from_pod, "no probe")
    if not ping.answers:
        return Pair(source, target, family, from_pod, unanswered)
    verdict: Verdict = "ok" if ping.large else "large lost"
    return Pair(source, target, family, from_pod, verdict, ping.received, ping.rtt)


def _unanswered(ends: Sequence[Report | None], family: int, masked: bool) -> Verdict:
    """What silence means: a machine whose pods leave with its own address may still get through."""
    source, target = ends
    if target is None or target.wired == "none":
        return "no probe"
    return "masqueraded" if masked and source and source.forwards[family] else "silent"


def _with_settings(pair: Pair, ends: Sequence[Report | None]) -> Pair:
    """An answer between addresses on `lo` proves no forwarding; then the settings must say it."""
    stood_in = [end for end in ends if end is not None and end.wired == "lo"]
    if pair.ok and not all(end.forwards[pair.family] for end in stood_in):
        return Pair(pair.source, pair.target, pair.family, True, "no forwarding", pair.received)
    return pair
