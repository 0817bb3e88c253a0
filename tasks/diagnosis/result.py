"""One run of verify as a value: what is known of every pair. All reports are made from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from tasks.connectivity.ping import COUNT, Report
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.inventory.model import Cluster, Machine

from .model import Cause


@dataclass(frozen=True)
class Verification:
    """What a run of verify has found out; after an early end, what was known by then."""

    cluster: Cluster  # once the machines were asked, completed with what they say
    when: datetime  # the start, with its time zone
    rehearsal: bool = False  # whether the machines are a twin's
    skipped: Mapping[str, str] = field(default_factory=dict)  # unreachable machines, and why
    reports: Mapping[str, Report] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()
    causes: Sequence[Cause] = ()
    stopped: str = ""  # why the run ended early; empty where it did not
    real_pods: Sequence[RealPod] = ()  # with --pods
    unplanned: Mapping[str, str] = field(default_factory=dict)  # routes in use, by machine: a line
    bridgeless: Sequence[str] = ()  # workers that gave addresses to pods and have no pod bridge
    method: str = f"{COUNT} full-size pings a pair"  # how the pairs were chosen and pinged

    @property
    def ok(self) -> bool:
        """Whether all pairs and pods answered, and no cause is known that cuts pods off."""
        answered = all(p.ok for p in self.pairs) and all(p.ok for p in self.real_pods)
        return answered and not any(cause.loses for cause in self.causes)

    @property
    def views(self) -> list["View"]:
        """The matrices that show all pairs: two for each address family of the pods."""
        found = {cidr.version for worker in self.cluster.workers for cidr in worker.pod_cidrs}
        families = found or {network.version for network in self.cluster.pod_networks}
        return [
            self._view(family, from_pod)
            for family in sorted(families)
            for from_pod in (True, False)
        ]

    def _view(self, family: int, from_pod: bool) -> "View":
        return View(
            family,
            from_pod,
            tuple(m.name for m in self.cluster.machines if m.role == "worker" or not from_pod),
            tuple(m.name for m in self.cluster.workers if _may_have(m, family)),
            tuple(p for p in self.pairs if p.family == family and p.from_pod == from_pod),
        )

    def cause_numbers(self) -> dict[Pair, list[int]]:
        """The numbers of the causes, from 0, of each pair that a cause explains."""
        found: dict[Pair, list[int]] = {}
        for number, cause in enumerate(self.causes):
            for pair in cause.pairs:
                found.setdefault(pair, []).append(number)
        return found


def start(cluster: Cluster, *, rehearsal: bool) -> Verification:
    """A run that starts now: nothing is known yet."""
    return Verification(cluster, datetime.now(timezone.utc), rehearsal=rehearsal)


@dataclass(frozen=True)
class View:
    """All pairs of one address family, sent by pods or by the machines themselves."""

    family: int
    from_pod: bool
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def title(self) -> str:
        """Its heading."""
        return f"IPv{self.family}, {'pod' if self.from_pod else 'machine'} to pod"


def _may_have(worker: Machine, family: int) -> bool:
    """True unless the worker is known to lack this family."""
    families = {cidr.version for cidr in worker.pod_cidrs}
    return family in families or not families


def legal(text: str) -> str:
    """The text, with U+FFFD for each character that XML 1.0 (2.2) or UTF-8 does not allow."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
