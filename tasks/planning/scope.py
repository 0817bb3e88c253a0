"""What the plan of one machine is about: the pod CIDRs that it needs routes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tasks.common.values import Address, Network, within
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Number, Place, number_of, place_of
from tasks.iproute.table import Prefixes
from tasks.networks.model import Table

from .bgp import BgpRun


class Target(NamedTuple):
    """A worker's pod CIDR, and the next hop to it."""

    worker: Machine
    prefix: Network
    place: Place
    via: Address | None
    number: Number | None  # of the next hop
    in_networks: bool  # whether the prefix is inside pod_networks
    routed: bool  # whether a provider's network leads there, and machines need no route


def targets(cluster: Cluster, table: Table | None) -> tuple[Target, ...]:
    """All workers' pod CIDRs. `table`: the provider's, if its network routes."""
    return tuple(_target(w, cidr, cluster, table) for w in cluster.workers for cidr in w.pod_cidrs)


def _target(worker: Machine, prefix: Network, cluster: Cluster, table: Table | None) -> Target:
    via = worker.internal_ip(prefix.version) if table is None else table.next_hop(prefix)
    return Target(
        worker,
        prefix,
        place_of(prefix),
        via,
        number_of(via) if via is not None else None,
        within(prefix, cluster.pod_networks),
        table is not None and via is None,
    )


@dataclass(frozen=True)
class Everyone:
    """What the plans of all machines share."""

    cluster: Cluster
    targets: tuple[Target, ...]  # of all workers
    only: str  # plan only the routes to and on this worker; empty: all workers
    skipped: Mapping[str, str]
    bgp: BgpRun

    @cached_property
    def index(self) -> Prefixes:
        """An index of all pod CIDRs."""
        return Prefixes(target.prefix for target in self.targets)

    @cached_property
    def absent(self) -> set[Network]:
        """The pod CIDRs of machines that could not be reached."""
        return {t.prefix for t in self.targets if t.worker.name in self.skipped}


@dataclass(frozen=True)
class Scope:
    """The scope of one machine's plan: the prefixes that it is about."""

    everyone: Everyone
    machine: Machine

    @property
    def cluster(self) -> Cluster:
        """The cluster."""
        return self.everyone.cluster

    @property
    def only(self) -> str:
        """The worker that the plan is limited to; empty: no limit, as on that worker itself."""
        return "" if self.everyone.only == self.machine.name else self.everyone.only

    @property
    def targets(self) -> list[Target]:
        """The targets that this machine needs a route to."""
        return [target for target in self._targets if not target.routed]

    @property
    def routed(self) -> list[Target]:
        """The targets that a provider's network leads to by itself."""
        return [target for target in self._targets if target.routed and target.in_networks]

    @cached_property
    def _targets(self) -> list[Target]:
        """The pod CIDRs of the other workers that are in scope and were reached."""
        own, only, skipped = self.machine.name, self.only, self.everyone.skipped
        return [
            t
            for t in self.everyone.targets
            if t.worker.name != own
            and t.worker.name not in skipped
            and (not only or t.worker.name == only)
        ]

    @cached_property
    def places(self) -> frozenset[Place]:
        """The places of the targets: hashed faster than their prefixes."""
        return frozenset(target.place for target in self._targets)

    @cached_property
    def hidden(self) -> set[Network]:
        """The pod CIDRs out of scope: of workers that were not reached, or excluded by `only`."""
        if not self.only:
            return self.everyone.absent
        others = {t.prefix for t in self.everyone.targets if t.worker.name != self.only}
        return self.everyone.absent | others
