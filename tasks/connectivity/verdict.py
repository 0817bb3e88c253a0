"""Verdicts: judges each pair by the pings between all machines. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks.common import values
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine

from .ping import COUNT, Ping, Report, Source

Verdict = Literal["ok", "large lost", "masqueraded", "no forwarding", "silent", "no probe"]


@dataclass(frozen=True)
class Pair:
    """The verdict on one direction: from a machine to a worker's pods, in one address family.

    `from_pod`: the source's probe sent the pings; otherwise the machine itself sent them. The
    verdict `masqueraded` means: the routes are not proven, but pods get through with their node's
    address.
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
        """Whether the routes are proven in both directions, for packets of every size."""
        return self.verdict == "ok"

    @property
    def loss(self) -> int:
        """How many of the pings were unanswered, in percent."""
        return round(100 * (COUNT - self.received) / COUNT)


def judge(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    reports: Mapping[str, Report],
    asked: Collection[tuple[str, str]] | None = None,
) -> list[Pair]:
    """A verdict for every machine and every other worker's pods, in the cluster's order.

    `asked`: the (from, to) pairs that were to be pinged; None: all.
    """
    pairs = []
    workers = [w for w in cluster.workers if w.name in facts]
    for machine in cluster.machines:
        if machine.name not in reports:
            continue
        report = reports[machine.name]
        came = [p if _came(p, machine, reports) else p.unanswered for p in report.pings]
        report = replace(report, pings=tuple(came))
        pings = {(p.worker, p.family, p.from_pod): p for p in came}
        for worker in workers:
            if worker.name == machine.name:
                continue
            if asked is not None and (machine.name, worker.name) not in asked:
                continue
            ends = (report, reports.get(worker.name))
            for family in (cidr.version for cidr in worker.pod_cidrs):
                host = pings.get((worker.name, family, False))
                pairs.append(_pair(machine.name, worker.name, family, False, host, "silent"))
                if machine.role == "worker":
                    pod = pings.get((worker.name, family, True))
                    through = host is not None and host.answers and facts[machine.name].masquerades
                    masked = through and _forwards(report, family, among=len(workers))
                    verdict: Verdict = "masqueraded" if masked else "silent"
                    pair = _pair(machine.name, worker.name, family, True, pod, verdict)
                    pairs.append(_with_settings(pair, ends))
    return pairs


def _came(ping: Ping, sender: Machine, reports: Mapping[str, Report]) -> bool:
    """Whether the probe received the SYNs. If it did not, a firewall has forged the TCP reset.

    True if the SYNs were not counted. A machine may send its own SYNs from an address that is not
    in hosts.toml; these count too.
    """
    report = reports.get(ping.worker)
    if report is None or report.callers is None:
        return True
    networks = sender.pod_cidrs if ping.from_pod else map(values.host, sender.internal_ips)
    sources: set[Source] = {network for network in networks if network.version == ping.family}
    return bool(report.callers & (sources if ping.from_pod else {*sources, None}))


def _forwards(report: Report, family: int, among: int) -> bool:
    """Whether a machine forwards its pods' packets.

    Its settings must allow it. With three workers or more, one of its pod pings must also have been
    answered. `among`: the number of workers.
    """
    came_back = any(p.answers for p in report.pings if p.from_pod and p.family == family)
    return report.forwards[family] and (came_back or among < 3)


def _pair(
    source: str, target: str, family: int, from_pod: bool, ping: Ping | None, unanswered: Verdict
) -> Pair:
    """The verdict on one ping. `unanswered`: the verdict if no answer came."""
    if ping is None:
        return Pair(source, target, family, from_pod, "no probe")
    if not ping.answers:
        return Pair(source, target, family, from_pod, unanswered)
    verdict: Verdict = "ok" if ping.large else "large lost"
    return Pair(source, target, family, from_pod, verdict, ping.received, ping.rtt)


def _with_settings(pair: Pair, ends: Sequence[Report | None]) -> Pair:
    """The pair, or "no forwarding" if a probe is on `lo` and its machine's settings forbid it.

    Answers from an address on `lo` do not prove that the machine forwards.
    """
    stood_in = [end for end in ends if end is not None and end.wired == "lo"]
    if pair.ok and not all(end.forwards[pair.family] for end in stood_in):
        return Pair(pair.source, pair.target, pair.family, True, "no forwarding", pair.received)
    return pair
