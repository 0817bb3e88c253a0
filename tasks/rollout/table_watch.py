"""Watches a provider's table: reads it once a minute, and puts back missing routes.

The rules are those for machines: what is missing comes back, twice in a row at most. Nothing is
deleted, and no route is replaced. A call that the API refuses is not tried again before the next
look.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tasks.common.errors import Stop
from tasks.common.text import few
from tasks.inventory.model import Cluster, ProviderNetwork
from tasks.networks.memory import alone
from tasks.networks.provider import provider_of
from tasks.networks.state import NetworkState, read_state
from tasks.planning.drift import DriftKind
from tasks.planning.model import Allowed, TablePlan
from tasks.planning.provider_table import plan_table, wanted_routes
from tasks.undo.run import new_run

from .losses import Losses, Teller
from .provider_table import TableRun, around
from .result import Rollout

EVERY = 60  # seconds between two looks, of 2 requests or more each
LOOK = 15  # seconds for one call of the provider's program


def table_repair(
    cluster: Cluster, network: NetworkState, skipped: Collection[str], losses: Losses
) -> tuple[TablePlan, list[str]]:
    """The plan that puts back what a table has lost, and a line for each drift that it leaves.

    Lost is what this tool added, hosts.toml wants, and the table has not. While a run has not ended
    nobody knows what the table should have: nothing is lost then. `skipped`: workers of which not
    all is known.
    """
    plan = plan_table(cluster, network, Allowed(), skipped=skipped)
    memory, there = network.memory, network.table.by_destination
    known = {n: routes for n, routes in wanted_routes(cluster).items() if n not in skipped}
    wanted = {route.key for routes in known.values() for route in routes}
    ours = [] if memory.unfinished else sorted(memory.ours & wanted, key=str)
    lost = {key[0] for key in ours if key[0] not in there}
    losses.seen(lost)
    first = tuple(
        change
        for change in plan.first
        if change.put
        and change.put.key in ours
        and not change.take
        and not losses.hopeless(change.put.destination)
    )
    unchecked = tuple(m for m in plan.unchecked if m.id in memory.unchecked and ours)
    made = replace(
        plan,
        memory=memory,
        first=() if plan.refusals else first,
        unchecked=() if plan.refusals else unchecked,
        last=(),
        repair=True,
    )
    putting = {change.put.key for change in made.first if change.put}
    left = [f"{d} via {g}" for d, g in ours if d in lost and (d, g) not in putting]
    changed = [str(there[d]) for d, g in ours if d in there and there[d].key != (d, g)]
    lines = [f"left alone: {DriftKind.MISSING.text}: {what}" for what in few(left)]
    lines += [f"left alone: {DriftKind.CHANGED.text}: {what}" for what in few(changed)]
    return made, [*lines, *(plan.refusals if lines else ())]


@dataclass
class TableWatch:
    """The watch of one table. `hosts`: the file of the cluster, which only one run may lock."""

    where: ProviderNetwork
    hosts: Path
    teller: Teller
    losses: Losses = field(default_factory=Losses)

    def read(self) -> NetworkState | Stop:
        """The network as it is now, or why it cannot be read."""
        try:
            return read_state(self.where, LOOK, lambda: True)
        except Stop as stop:
            return stop

    def answered(
        self, found: NetworkState | Stop, cluster: Cluster, skipped: Collection[str]
    ) -> None:
        """Put back what is missing, and say what stays wrong."""
        name = str(self.where)
        if isinstance(found, Stop):
            self.teller.tell(name, [f"cannot be asked: {found}"])
            return
        made, stays = table_repair(cluster, found, skipped, self.losses)
        if not made.idle:
            stays += self._put_back(made)
        self.teller.tell(name, stays)

    def _put_back(self, made: TablePlan) -> list[str]:
        """Make the repair and say so; what could not be repaired."""
        run = TableRun(
            self.where,
            lambda _stopped: provider_of(self.where, LOOK, lambda: True),
            made,
            new_run((), 0).id,
        )
        try:
            with alone(self.hosts):
                ended = around(run, partial(Rollout, (), True), lambda: False, hold=False)
        except Stop:
            return []  # another run is at work
        what = [f"put back: {change.put}" for change in made.first]
        what += [f"switched off again: source check of {m.name}" for m in made.unchecked]
        if not ended.whole:
            return [f"not {line}: {ended.results[0].why}" for line in few(what)]
        self.losses.put_back(change.put.destination for change in made.first if change.put)
        for line in few(what):
            self.teller.say(made.name, line)
        return []
