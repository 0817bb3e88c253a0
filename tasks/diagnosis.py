"""Diagnosis: why pairs do not answer, each cause named once however many pairs it silences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .cluster import Cluster
from .evidence import Evidence
from .facts import Facts
from .pairs import Pair

SYSCTLS = "/etc/sysctl.d/99-pod-routes.conf"  # where a remedy puts a setting that has to stay


@dataclass(frozen=True)
class Cause:
    """What stops packets, where, and what mends it for good."""

    machine: str  # where it is to be mended; empty where that is between the machines
    words: str  # one line, e.g. "worker-2 does not forward IPv4: net.ipv4.ip_forward is 0"
    remedy: str  # one line
    pairs: tuple[Pair, ...]  # the pairs it explains


@dataclass(frozen=True)
class Scene:
    """All that is known when pairs have failed; evidence may be lacking for some machines."""

    cluster: Cluster
    facts: Mapping[str, Facts]
    evidence: Mapping[str, Evidence]
    pairs: Sequence[Pair]  # all of them, those that answered too

    @property
    def silent(self) -> list[Pair]:
        """The pairs of which no packet came back."""
        return [p for p in self.pairs if p.verdict in ("silent", "masqueraded", "no forwarding")]

    @property
    def large(self) -> list[Pair]:
        """The pairs of which only small packets came back."""
        return [p for p in self.pairs if p.verdict == "large lost"]

    @property
    def pods(self) -> str:
        """The networks that pods are in, as a remedy names them."""
        return " ".join(map(str, self.cluster.pod_networks))

    def device(self, name: str, family: int) -> str:
        """The device of a machine's internal IP."""
        inner = self.cluster.machine(name).internal_ip(family)
        return next((dev for dev, i in self.facts[name].addresses if i.ip == inner), "")


def listed(names: Iterable[str], most: int = 3) -> str:
    """Some names in a line: the first ones, and how many more."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
