"""A plan, as values: what is to be done on each machine, and what stands in its way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.common.values import Network
from tasks.iproute.route import Route
from tasks.persistence.backends import NO_FILES, Files
from tasks.undo.records import Displaced

from .conflicts import Obstacle
from .drift import Drift


@dataclass(frozen=True)
class Allowed:
    """What the operator said may be done in this run."""

    adopt: bool = False  # make routes ours that are right but foreign
    replace: bool = False  # take away foreign routes that are in the way
    prune: bool = False  # delete ours to workers that are not in hosts.toml
    force: bool = False  # prune even where the next hop still answers


@dataclass(frozen=True)
class Change:
    """One prefix: the route put there, and the routes taken away for it."""

    put: Route | None
    take: tuple[Route, ...] = ()

    @property
    def verb(self) -> str:
        """Whether it is an add, a replace or a delete."""
        if self.put is None:
            return "delete"
        return "replace" if self.take else "add"

    @property
    def prefix(self) -> Network:
        """The prefix it is about."""
        return (self.put or self.take[0]).prefix


@dataclass(frozen=True)
class MachinePlan:
    """What is to be done on one machine."""

    name: str
    changes: tuple[Change, ...] = ()
    restores: tuple[Displaced, ...] = ()  # rollback: foreign routes that come back
    forgets: tuple[Displaced, ...] = ()  # rollback: records that are of no more use
    right: tuple[Route, ...] = ()  # as wanted, ours or foreign
    obstacles: tuple[Obstacle, ...] = ()
    left: tuple[Route, ...] = ()  # ours, to workers that are not in hosts.toml
    outside: tuple[Route, ...] = ()  # ours, outside pod_networks: for rollback only
    refusals: tuple[str, ...] = ()  # why this must not be done
    way_back: bool = False  # itself a rollback
    repair: bool = False  # puts back what was lost: no run of which anything is to be remembered
    files: Files = NO_FILES  # those that bring routes back at boot
    noted: tuple[Route, ...] = ()  # ours, lost, and not what this is about: to be lost afterwards
    forget: bool = False  # the machine's note of its routes names some that are meant no longer
    drift: tuple[Drift, ...] = ()  # what is not as the last confirmed run left it

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        records = self.forgets or self.forget
        return not (self.changes or self.restores or records) and self.files.empty

    def count(self, verb: str) -> int:
        """How many changes of one kind there are."""
        return sum(change.verb == verb for change in self.changes)


@dataclass(frozen=True)
class Plan:
    """What is to be done on the machines of a cluster, in their order."""

    machines: tuple[MachinePlan, ...]
    skipped: Mapping[str, str]  # machines that could not be asked, and why

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do anywhere."""
        return all(machine.empty for machine in self.machines)

    @property
    def blocked(self) -> bool:
        """Whether something stands in the way or must not be done."""
        return any(machine.obstacles or machine.refusals for machine in self.machines)

    @property
    def refused(self) -> bool:
        """Whether it must not be done, whatever the operator says."""
        return any(machine.refusals for machine in self.machines)

    @property
    def only_adds(self) -> bool:
        """Whether it takes nothing away."""
        return not any(machine.files.forget for machine in self.machines) and all(
            change.verb == "add" for machine in self.machines for change in machine.changes
        )

    def count(self, verb: str) -> int:
        """How many changes of one kind there are."""
        return sum(machine.count(verb) for machine in self.machines)


def limited(plan: Plan, limit: str) -> Plan:
    """The part of a plan for one machine."""
    return replace(plan, machines=tuple(m for m in plan.machines if m.name == limit))
