"""Changes a provider's table around a rollout: additions before the machines, removals after.

Every stop between two calls leaves a network that works: what is added early harms nobody. What is
remembered is written before the first call. It always covers the routes that this tool has added.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from tasks.common.errors import Stop
from tasks.common.progress import progress
from tasks.inventory.model import ProviderNetwork
from tasks.networks.memory import Memory, TableRecord, remember, remembered
from tasks.networks.model import Member, Table, TableRoute
from tasks.networks.provider import Provider
from tasks.planning.model import TableChange, TablePlan

from .result import COMMITTED, MachineResult, MachineState, Rollout


@dataclass
class TableRun:
    """The changes of one run to a provider's table. `run`: its ID.

    `seen`: the last runs of the machines, if this one changes none of them.
    `connect` gives the provider. It is told what says whether to give up waiting for a busy API.
    """

    where: ProviderNetwork
    connect: Callable[[Callable[[], bool]], Provider]
    plan: TablePlan
    run: str
    seen: frozenset[str] | None = None
    noted: bool = False  # whether what is remembered is this run's
    begun: list[TableChange] = field(default_factory=list)  # that calls were made for
    unchecked: list[Member] = field(default_factory=list)  # the same

    def forward(self, stopped: Callable[[], bool]) -> str:
        """Make the additions, until one fails or `stopped`; why not all were made, or empty."""
        plan = self.plan
        if plan.idle:
            return ""
        provider = self.connect(stopped)
        try:
            table = provider.read()
            known = remembered(self.where, table.id)
            if _differ(table, plan.table) or known != plan.before:
                return "the network's routes have changed since the plan: run it again"
            remember(self.where, self._during)
            self.noted = True
            with progress("adding routes to the network", len(plan.first), "changes") as step:
                for change in plan.first:
                    if stopped():
                        return "interrupted"
                    self.begun.append(change)
                    self._make(provider, change)
                    step()
            for member in plan.unchecked:
                if stopped():
                    return "interrupted"
                self.unchecked.append(member)
                provider.check_sources(member, on=False)
        except Stop as stop:
            return str(stop)
        return ""

    @property
    def _during(self) -> Memory:
        """What is remembered until the run has ended: all that it may add, and all from before."""
        before = self.plan.before
        if self.plan.repair:
            return before
        puts = {c.put.key for c in self.plan.first if c.put is not None and c.put.key is not None}
        return replace(
            before,
            table=self.plan.table.id,
            unfinished=before.unfinished | puts,
            displaced=before.displaced | self.plan.memory.displaced,
            unchecked=before.unchecked | self.plan.memory.unchecked,
            run=self.run,
        ).after(self._record)

    @property
    def _record(self) -> TableRecord:
        """What the run changes, with what it takes over from one that did not end."""
        plan = self.plan
        if plan.repair:
            return TableRecord(self.run, None)
        takes = {r.key for c in plan.changes for r in c.take if r.key and plan.table.works(r)}
        puts = {c.put.key for c in plan.changes if c.put and c.put.key}
        finished = plan.before.unfinished & plan.memory.ours
        return TableRecord(
            self.run,
            self.seen,
            frozenset(puts | finished),
            frozenset(takes),
            frozenset(takes & plan.before.added),
            frozenset(member.id for member in plan.unchecked),
        )

    def _make(self, provider: Provider, change: TableChange) -> None:
        """Make one change. Raises Stop if it was not made; a call that failed may have made it."""
        try:
            for call in _calls(provider, self.plan.table, change):
                call()
        except Stop:
            if not _made(change, provider.read()):
                raise

    def back(self, why: str) -> MachineResult:
        """Take this run's own changes back; how the table ended. `why`: the reason of the run."""
        name = self.plan.name
        failures = self._undone()
        if self.noted and not failures:
            failures = _failures([partial(remember, self.where, self.plan.before)])
        if not failures:
            untouched = not (self.begun or self.unchecked)
            state = MachineState.UNTOUCHED if untouched else MachineState.AS_BEFORE
            return MachineResult(name, state, why)
        left = f"{why}; what it added may still be there, and harms nobody: {failures[0]}"
        return MachineResult(name, MachineState.NOT_AS_BEFORE, f"{left}; run `fab rollback`")

    def _undone(self) -> list[Stop]:
        """Undo each change that was begun, and say which calls failed."""
        if not (self.begun or self.unchecked):
            return []
        provider = self.connect(_never)
        try:
            there = provider.read()
        except Stop as stop:
            return [stop]
        calls = [
            call
            for change in reversed(self.begun)
            for call in _undoing(provider, self.plan.table, there, change)
        ]
        calls += [partial(provider.check_sources, member, True) for member in self.unchecked]
        return _failures(calls)

    def leave(self, why: str) -> MachineResult:
        """Leave what was added, as some machines may still need it; the next run names it."""
        if not (self.begun or self.unchecked):
            return self.back(why)
        stays = f"{why}; the routes that it added stay for now: `fab rollback` deletes them"
        return MachineResult(self.plan.name, MachineState.NOT_AS_BEFORE, stays)

    def hold(self) -> MachineResult:
        """Leave what was added until `fab confirm` or `fab rollback --last`."""
        return MachineResult(self.plan.name, MachineState.HELD)

    def finish(self) -> MachineResult:
        """Make the removals, and remember the result."""
        plan = self.plan
        provider = self.connect(_never)
        try:
            with progress("deleting routes from the network", len(plan.last), "changes") as step:
                for change in plan.last:
                    self._make(provider, change)
                    step()
            for member in plan.checked:
                provider.check_sources(member, on=True)
            remember(self.where, plan.memory.after(self._record))
        except Stop as stop:
            with suppress(Stop):  # then more is remembered than there is
                remember(self.where, self._kept)
            return MachineResult(plan.name, MachineState.NOT_ALL_DELETED, str(stop))
        return MachineResult(plan.name, MachineState.DONE)

    @property
    def _kept(self) -> Memory:
        """What is remembered if the additions are kept, and not all removals were made."""
        before, after = self.plan.before, self.plan.memory
        return replace(
            after,
            ours=before.ours | after.ours,
            unfinished=before.unfinished - after.ours,
            displaced=before.displaced | after.displaced,
            unchecked=before.unchecked | after.unchecked,
        ).after(self._record)


def around(
    table: TableRun, machines: Callable[[], Rollout], stopped: Callable[[], bool], hold: bool
) -> Rollout:
    """Change the table, then the machines, then delete from the table; or take all of it back.

    `machines` rolls the plan out on them. `stopped` says whether a signal arrived.
    """
    why = table.forward(stopped)
    if why:
        return Rollout((table.back(why),), False, stopped())
    try:
        rollout = machines()
    except BaseException:
        table.back("an error")
        raise
    result = _ended(table, rollout, hold)
    if table.plan.empty and result.state in (MachineState.DONE, MachineState.UNTOUCHED):
        return rollout
    kept = result.state in (MachineState.DONE, MachineState.HELD)
    return replace(rollout, results=(result, *rollout.results), whole=rollout.whole and kept)


def _ended(table: TableRun, rollout: Rollout, hold: bool) -> MachineResult:
    """End the table's part as the machines have ended theirs."""
    states = {result.state for result in rollout.results}
    if rollout.whole:
        return table.hold() if hold else table.finish()
    if states & set(COMMITTED):
        return table.finish()
    why = next((r.why for r in rollout.results if r.why), "interrupted")
    if states <= {MachineState.AS_BEFORE, MachineState.UNTOUCHED}:
        return table.back(why)
    return table.leave(why)


def _never() -> bool:
    return False


def _failures(calls: Iterable[Callable[[], None]]) -> list[Stop]:
    """Make all calls. Those that fail do not keep from the others."""
    failures = []
    for call in calls:
        try:
            call()
        except Stop as stop:
            failures.append(stop)
    return failures


def _differ(now: Table, then: Table) -> bool:
    """Whether a table is not the one of the plan any more."""
    return now.id != then.id or set(now.routes) != set(then.routes)


Call = Callable[[], None]


def _calls(provider: Provider, table: Table, change: TableChange) -> Iterator[Call]:
    """The calls that make a change, in their order."""
    put, take = change.put, change.take
    if put and len(take) == 1 and take[0].destination == put.destination:
        (old,) = take
        yield partial(provider.replace, table, old, put)
        return
    for route in take:
        yield partial(provider.remove, table, route)
    if put:
        yield partial(provider.add, table, put)


def _made(change: TableChange, table: Table) -> bool:
    """Whether a table is as a change leaves it."""
    put = change.put
    there = put is None or _has(table, put)
    return there and not any(_has(table, route) for route in change.take)


def _has(table: Table, route: TableRoute) -> bool:
    there = table.by_destination.get(route.destination)
    return there is not None and there.key == route.key and there.target == route.target


def _undoing(
    provider: Provider, before: Table, there: Table, change: TableChange
) -> Iterator[Call]:
    """The calls that undo a change, from the table that is there; none for what led nowhere."""
    put = change.put
    lost = [r for r in change.take if before.works(r) and not _has(there, r)]
    if put and _has(there, put):
        if len(lost) == 1 and lost[0].destination == put.destination:
            (old,) = lost
            yield partial(provider.replace, there, put, old)
            return
        yield partial(provider.remove, there, put)
    for route in lost:
        yield partial(provider.add, there, route)
