"""Diagnosis: why pairs do not answer. Each cause is named once, however many pairs it silences."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tasks.common.values import Address, Network
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.networks.model import Table
from tasks.networks.provider import Provider

from .evidence import Evidence, Link
from .remedy import Remedy


@dataclass(frozen=True)
class Cause:
    """Why packets are lost, where, and a permanent remedy."""

    machine: str  # the machine to repair; empty where the cause is not on one machine
    words: str  # one line, e.g. "worker-2 does not forward IPv4: net.ipv4.ip_forward is 0"
    remedy: Remedy | str  # commands for a machine, or a sentence
    pairs: tuple[Pair, ...]  # the pairs it explains
    loses: bool = True  # whether packets are lost because of it already


@dataclass(frozen=True)
class Routed:
    """The provider's network between the machines, where hosts.toml names one."""

    name: str
    provider: Provider
    table: Table | None  # None: it could not be read
    unread: str = ""  # why not


@dataclass(frozen=True)
class Scene:
    """All that is known when pairs have failed. Evidence of some machines may be missing."""

    cluster: Cluster
    facts: Mapping[str, Facts]
    evidence: Mapping[str, Evidence]
    pairs: Sequence[Pair]  # all pairs, also those that answered
    routed: Routed | None = None

    @property
    def gateway(self) -> Address | None:
        """The address by which the provider's network leads to pods; None where it has none."""
        return self.routed.table.gateway if self.routed and self.routed.table else None

    def next_hop(self, worker: Machine, family: int) -> Address | None:
        """The next hop that is planned for a worker's pods.

        None where machines need no route of their own to pods, or nobody knows which.
        """
        return self.gateway if self.cluster.network else worker.internal_ip(family)

    @cached_property
    def silent(self) -> list[Pair]:
        """The pairs that answered no packet."""
        return [p for p in self.pairs if p.verdict in ("silent", "masqueraded", "no forwarding")]

    @cached_property
    def large(self) -> list[Pair]:
        """The pairs that answered only small packets."""
        return [p for p in self.pairs if p.verdict == "large lost"]

    @cached_property
    def silent_by_end(self) -> Mapping[str, list[Pair]]:
        """The silent pairs of each machine, by its name."""
        ends: dict[str, list[Pair]] = defaultdict(list)
        for pair in self.silent:
            ends[pair.source].append(pair)
            ends[pair.target].append(pair)
        return ends

    def silent_through(self, name: str, family: int | None = None) -> tuple[Pair, ...]:
        """The silent pairs whose packets this machine forwards to or from its pods.

        `family`: 4 or 6; None for both.
        """
        return tuple(
            pair
            for pair in self.silent_by_end.get(name, ())
            if (pair.target == name or pair.from_pod) and family in (None, pair.family)
        )

    def pod_networks(self, pairs: Iterable[Pair]) -> list[Network]:
        """The cluster's pod networks in the address families of these pairs."""
        families = {pair.family for pair in pairs}
        return [n for n in self.cluster.pod_networks if n.version in families]

    def device(self, name: str, family: int) -> str:
        """The device that has a machine's internal IP; empty where no device has it."""
        inner = self.cluster.machine(name).internal_ip(family)
        return next((dev for dev, i in self.facts[name].addresses if i.ip == inner), "")

    def cut_off(self, name: str, family: int) -> bool:
        """Whether a machine's internal link is known to be down."""
        link = self.link(name, self.device(name, family))
        return link is not None and not (link.on and link.carrier)

    def link(self, name: str, device: str) -> Link | None:
        """A network interface of a machine; None where nothing is known of it."""
        evidence = self.evidence.get(name)
        return evidence.links.get(device) if evidence else None
