"""Diagnosis: why pairs do not answer, each cause named once however many pairs it silences."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tasks.common.values import Network
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster

from .evidence import Evidence, Link


@dataclass(frozen=True)
class Cause:
    """What stops packets, where, and what mends it for good."""

    machine: str  # where it is to be mended; empty where that is between the machines
    words: str  # one line, e.g. "worker-2 does not forward IPv4: net.ipv4.ip_forward is 0"
    remedy: str  # one line; where it is to be typed on a machine, of `typed_on`
    pairs: tuple[Pair, ...]  # the pairs it explains


@dataclass(frozen=True)
class Scene:
    """All that is known when pairs have failed; evidence may be lacking for some machines."""

    cluster: Cluster
    facts: Mapping[str, Facts]
    evidence: Mapping[str, Evidence]
    pairs: Sequence[Pair]  # all of them, those that answered too

    @cached_property
    def silent(self) -> list[Pair]:
        """The pairs of which no packet came back."""
        return [p for p in self.pairs if p.verdict in ("silent", "masqueraded", "no forwarding")]

    @cached_property
    def large(self) -> list[Pair]:
        """The pairs of which only small packets came back."""
        return [p for p in self.pairs if p.verdict == "large lost"]

    @cached_property
    def silent_by_end(self) -> Mapping[str, list[Pair]]:
        """The silent pairs of each machine, by its name."""
        ends: dict[str, list[Pair]] = defaultdict(list)
        for pair in self.silent:
            ends[pair.source].append(pair)
            ends[pair.target].append(pair)
        return ends

    def silent_at(self, name: str, family: int = 0) -> tuple[Pair, ...]:
        """Those whose packets a machine has to forward to or from its pods; 0: both families."""
        return tuple(
            pair
            for pair in self.silent_by_end.get(name, ())
            if (pair.target == name or pair.from_pod) and family in (0, pair.family)
        )

    def pods(self, pairs: Iterable[Pair]) -> list[Network]:
        """The networks that the pods of some pairs are in, for a remedy."""
        families = {pair.family for pair in pairs}
        return [n for n in self.cluster.pod_networks if n.version in families]

    def device(self, name: str, family: int) -> str:
        """The device of a machine's internal IP."""
        inner = self.cluster.machine(name).internal_ip(family)
        return next((dev for dev, i in self.facts[name].addresses if i.ip == inner), "")

    def link(self, name: str, device: str) -> Link | None:
        """A network interface of a machine, where it is known."""
        evidence = self.evidence.get(name)
        return evidence.links.get(device) if evidence else None
