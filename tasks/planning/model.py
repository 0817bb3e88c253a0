"""A plan as values: the changes on each machine, and what speaks against them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tasks.common.values import Network
from tasks.iproute.route import Route
from tasks.networks.memory import Memory
from tasks.networks.model import Member, Table, TableRoute
from tasks.persistence.backends import NO_FILES, Files
from tasks.undo.records import Displaced

from .conflicts import Conflict
from .drift import Drift


@dataclass(frozen=True)
class Allowed:
    """What the operator allows this run to do."""

    adopt: bool = False  # make foreign routes ours if they have the wanted next hop
    replace: bool = False  # delete foreign routes that conflict, and record them for rollback
    prune: bool = False  # delete our routes to workers that are not in hosts.toml
    force: bool = False  # prune even if the next hop still answers
    install: bool = False  # install BIRD where the cluster needs it and it is missing


class Verb(str, Enum):
    """What a change does; the value is for people and for JSON."""

    ADD = "add"
    REPLACE = "replace"
    DELETE = "delete"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Change:
    """One change: the route that is put in place, and the routes that are deleted for it."""

    put: Route | None
    take: tuple[Route, ...] = ()

    @property
    def verb(self) -> Verb:
        """Whether this change adds, replaces or deletes."""
        if self.put is None:
            return Verb.DELETE
        return Verb.REPLACE if self.take else Verb.ADD

    @property
    def prefix(self) -> Network:
        """The prefix of the new route, or of the first deleted one."""
        return (self.put or self.take[0]).prefix


@dataclass(frozen=True)
class BirdChange:
    """The change of the BIRD of this tool on a machine."""

    conf: str  # its configuration afterwards; empty: it is taken away
    before: str  # its configuration now; empty: there is none
    password: str = field(default="", repr=False)
    at_boot: bool = False  # whether it comes back at boot
    version: str = ""  # of the BIRD that is there
    sessions: tuple[str, ...] = ()  # the names of its neighbors afterwards
    lost_at_boot: bool = False  # whether it should come back at boot, and cannot
    keeps: bool = True  # whether `rollback --last` can bring back what was before
    from_last: bool = False  # whether it comes back with the files that the last run replaced

    @property
    def verb(self) -> str:
        """What becomes of it, for people."""
        if not self.conf:
            return "ended"
        return "changed" if self.before else "begun"


@dataclass(frozen=True)
class MachinePlan:
    """The plan for one machine."""

    name: str
    changes: tuple[Change, ...] = ()
    restores: tuple[Displaced, ...] = ()  # rollback: displaced routes that are put back
    discards: tuple[Displaced, ...] = ()  # rollback: records of displaced routes to delete
    in_sync: tuple[Route, ...] = ()  # the routes that are as wanted, ours or foreign
    conflicts: tuple[Conflict, ...] = ()
    stale: tuple[Route, ...] = ()  # ours, to workers that are not in hosts.toml
    outside_networks: tuple[Route, ...] = ()  # ours, outside pod_networks: rollback deletes them
    refusals: tuple[str, ...] = ()  # reasons why this plan must not be applied
    is_rollback: bool = False
    repair: bool = False  # puts back missing routes; not recorded for `rollback --last`
    files: Files = NO_FILES  # the changes of the files that bring routes back at boot
    still_missing: tuple[Route, ...] = ()  # ours, out of scope: they stay recorded as missing
    record_outdated: bool = False  # the machine's record lists routes that are no longer wanted
    drift: tuple[Drift, ...] = ()  # differences from what the last confirmed run left
    bird: BirdChange | None = None
    install: bool = False  # whether BIRD is installed first
    bird_stays: bool = False  # though routes are static: others may need what it announces
    by_bgp: tuple[Route, ...] = ()  # the routes that came by BGP already
    expected: tuple[Route, ...] = ()  # the routes that have to come by BGP
    later: tuple[Change, ...] = ()  # the changes once the expected routes stand on all machines

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        records = self.discards or self.record_outdated
        changes = self.changes or self.later or self.restores or self.bird or records
        return not changes and self.files.empty

    def count(self, verb: Verb) -> int:
        """The number of changes with this verb."""
        return sum(change.verb is verb for change in (*self.changes, *self.later))


@dataclass(frozen=True)
class TableChange:
    """One change of a provider's table: the route that is put, and those that are deleted for it.

    `displaces`: those of `take` that were foreign, and that rollback puts back.
    """

    put: TableRoute | None
    take: tuple[TableRoute, ...] = ()
    displaces: tuple[TableRoute, ...] = ()

    @property
    def verb(self) -> Verb:
        """Whether this change adds, replaces or deletes."""
        if self.put is None:
            return Verb.DELETE
        return Verb.REPLACE if self.take else Verb.ADD


@dataclass(frozen=True)
class TablePlan:
    """The plan for a provider's table.

    `first` comes before the machines are changed: every stop in it leaves what worked. `last` comes
    after them. `unchecked` and `checked`: members whose source check is switched off first, or on
    again last. `memory` is what is remembered once all is done.
    """

    name: str  # of the network, for people
    table: Table
    before: Memory
    memory: Memory
    first: tuple[TableChange, ...] = ()
    last: tuple[TableChange, ...] = ()
    unchecked: tuple[Member, ...] = ()
    checked: tuple[Member, ...] = ()
    in_sync: tuple[TableRoute, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    stale: tuple[str, ...] = ()  # routes that nobody needs, each with why
    unfinished: tuple[TableRoute, ...] = ()  # of a run that did not end
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    repair: bool = False  # what was there before comes back; `rollback --last` leaves it alone

    @property
    def changes(self) -> tuple[TableChange, ...]:
        """All changes, in their order."""
        return (*self.first, *self.last)

    @property
    def idle(self) -> bool:
        """Whether the provider's API is not asked for any change."""
        return not (self.changes or self.unchecked or self.checked)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do, nor to remember."""
        return self.idle and self.memory == self.before

    def count(self, verb: Verb) -> int:
        """The number of changes with this verb."""
        return sum(change.verb is verb for change in self.changes)


@dataclass(frozen=True)
class Plan:
    """The plans for the machines of a cluster, in the order of hosts.toml."""

    machines: tuple[MachinePlan, ...]
    skipped: Mapping[str, str]  # machines that could not be reached, and why
    network: TablePlan | None = None  # None: hosts.toml names no network of a provider

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do on any machine, nor in the provider's table."""
        return all(part.empty for part in self.parts)

    @property
    def parts(self) -> tuple[MachinePlan | TablePlan, ...]:
        """The plans of the provider's table and of the machines."""
        return (*([self.network] if self.network else []), *self.machines)

    @property
    def blocked(self) -> bool:
        """Whether a conflict or a refusal anywhere forbids to apply the plan."""
        return any(part.conflicts or part.refusals for part in self.parts)

    @property
    def refused(self) -> bool:
        """Whether there is a refusal; --replace does not lift one."""
        return any(part.refusals for part in self.parts)

    @property
    def only_adds(self) -> bool:
        """Whether the plan deletes and replaces nothing."""
        adds = all(p.count(v) == 0 for p in self.parts for v in (Verb.REPLACE, Verb.DELETE))
        return adds and not any(m.files.forget or m.bird for m in self.machines)

    def count(self, verb: Verb) -> int:
        """The number of changes with this verb on all machines."""
        return sum(machine.count(verb) for machine in self.machines)
