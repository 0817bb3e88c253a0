"""Pings pods around a rollout, to find pairs of workers that the change made silent."""

import sys
from collections.abc import Iterable, Mapping

from tasks.bgp.bird import is_of_bgp
from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.common.values import Network
from tasks.connectivity.mesh import PingRequest, ping_all
from tasks.connectivity.ping import Ping
from tasks.connectivity.sample import Pairs
from tasks.connectivity.stream import Loss, RoundTrips, Streams, chosen_streams
from tasks.facts.model import Facts
from tasks.facts.survey import Survey
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.networks.model import Key, Table
from tasks.planning.model import MachinePlan, Plan, TablePlan, Verb
from tasks.ssh.fleet import Fleet


def routed_pairs(
    cluster: Cluster,
    facts: Mapping[str, Facts],
    plan: Plan | None = None,
    table: Table | None = None,
) -> Pairs:
    """The pairs of workers with correct routes in both directions; with a plan, after the plan.

    `table`: the provider's, if its network routes. Then it has to lead to the pods too.
    """
    planned = {machine.name: machine for machine in plan.machines} if plan else {}
    tables = {name: _winners(_after(f, planned.get(name))) for name, f in facts.items()}
    workers = [w for w in cluster.workers if w.name in facts]
    provided = _provided(table, plan.network if plan else None)

    def leads(source: str, target: str) -> bool:
        worker = cluster.machine(target)
        for prefix in worker.pod_cidrs:
            via = worker.internal_ip(prefix.version)
            if table is not None:
                if (prefix, via) not in provided:
                    return False
                via = table.next_hop(prefix)
            if via and (prefix not in tables[source] or tables[source][prefix].next_hop != via):
                return False
        return True

    return frozenset(
        (one.name, other.name)
        for one in workers
        for other in workers
        if one is not other and leads(one.name, other.name) and leads(other.name, one.name)
    )


def _provided(table: Table | None, plan: TablePlan | None) -> set[Key | None]:
    """The routes to machines that a provider's table has; with a plan, after the plan."""
    if table is None:
        return set()
    changes = plan.changes if plan else ()
    taken = {route for change in changes for route in change.take}
    puts = {change.put.key for change in changes if change.put is not None}
    return {route.key for route in table.routes if route not in taken} | puts


def _after(facts: Facts, machine: MachinePlan | None) -> list[Route]:
    """A machine's routes after its plan is carried out; its routes now if it has no plan."""
    if machine is None:
        return list(facts.routes)
    changes = (*machine.changes, *machine.later)
    taken = {route for change in changes for route in change.take}
    puts = [c.put for c in changes if c.put is not None and c.put not in taken]
    restored = [route for displaced in machine.restores for route in displaced.routes]
    ends = machine.bird is not None and not machine.bird.conf
    stay = [r for r in facts.routes if r not in taken and not (ends and is_of_bgp(r))]
    return [*stay, *puts, *machine.expected, *restored]


def _winners(routes: Iterable[Route]) -> dict[Network, Route]:
    """For each prefix, the route that the kernel uses: the one with the lowest metric."""
    winners: dict[Network, Route] = {}
    for route in routes:
        if route.table == "main" and route.tos == "0":
            held = winners.setdefault(route.prefix, route)
            if route.metric < held.metric:
                winners[route.prefix] = route
    return winners


def replaced_pairs(cluster: Cluster, plan: Plan) -> Pairs:
    """The pairs of workers between which the plan replaces a route, in either direction."""
    owners = {prefix: worker.name for worker in cluster.workers for prefix in worker.pod_cidrs}
    pairs = {
        (machine.name, owners[prefix])
        for machine in plan.machines
        for prefix in _replaced(machine)
        if prefix in owners
    }
    if plan.network:
        exchanged = {c.put.destination for c in plan.network.changes if c.put and c.take}
        changed = {owners[prefix] for prefix in exchanged if prefix in owners}
        pairs |= {(w.name, name) for w in cluster.workers for name in changed if w.name != name}
    return frozenset(pairs | {(other, one) for one, other in pairs})


def _replaced(machine: MachinePlan) -> Iterable[Network]:
    """The prefixes whose route is replaced, or passes between static and BGP."""
    yield from (c.prefix for c in machine.changes if c.verb is Verb.REPLACE)
    yield from (c.prefix for c in machine.later)
    if machine.bird:
        yield from (r.prefix for r in machine.by_bgp)
        yield from (c.prefix for c in machine.changes)


class PairCheck:
    """Pings before, during and after a rollout; a transaction.Check.

    A new PairCheck pings the pairs that have routes both before and after the plan. During the
    rollout, some of those that answered and whose routes are replaced are pinged without a pause.
    In the end, all pairs are pinged that have routes after the plan. A pair that was silent before,
    or had no routes, does not revert the run. `silent` then holds such pairs if they are still
    silent, and `loss` what was lost during the rollout, if that was measured.
    """

    def __init__(self, fleet: Fleet, survey: Survey, plan: Plan) -> None:
        self._fleet = fleet
        self._survey = survey
        table = survey.network.table if survey.network else None
        self._after = routed_pairs(survey.cluster, survey.facts, plan, table)
        replaced = replaced_pairs(survey.cluster, plan)
        now = routed_pairs(survey.cluster, survey.facts, table=table)
        before = (now | replaced) & self._after
        pings = self._ping(before)
        self._answered = before - _silent(pings)
        self._chosen = chosen_streams(self._answered & replaced, _round_trips(pings))
        self._streams: Streams | None = None
        self.silent: Pairs = frozenset()
        self.loss: Loss | None = None

    def begin(self) -> None:
        """Begin to ping without a pause, if the plan replaces routes."""
        if self._chosen:
            self._streams = Streams(self._fleet, self._survey, self._chosen)

    @property
    def trouble(self) -> str:
        """Why the run must be reverted at once; empty if no pair has gone silent meanwhile."""
        silent = self._streams.silent if self._streams else ""
        return f"pods that answered before got no answer for a second: {silent}" if silent else ""

    def result(self) -> str:
        """Why the run must be reverted; empty if no pair that answered before is silent now."""
        try:
            silent = _silent(self._ping(self._after))
            if silent & self._answered:
                self.end()  # a limit on pings may have been used up
            gone = _silent(self._ping(silent & self._answered))
        except Stop as stop:
            print(stop.message, file=sys.stderr)  # not returned: the reason goes to all machines
            return "the pings after the change failed"
        self.silent = silent - self._answered
        if not gone:
            return self.trouble
        named = listed((f"{one} to {other}" for one, other in sorted(gone)), most=5)
        return f"pods that answered before have gone silent: {named}"

    def end(self) -> None:
        """End the pings without a pause, and note what was lost."""
        if self._streams and self.loss is None:
            self.loss = self._streams.end()

    def _ping(self, pairs: Pairs) -> list[tuple[str, Ping]]:
        """The pings of these pairs, each with its source; none of a pair without a probe."""
        if not pairs:
            return []
        request = PingRequest(pairs, machines=False)
        reports = ping_all(self._fleet, self._survey, request)
        return [(name, ping) for name, report in reports.items() for ping in report.pings]


def _silent(pings: Iterable[tuple[str, Ping]]) -> Pairs:
    """The pairs in which a ping of either family got no answer."""
    return frozenset((name, ping.worker) for name, ping in pings if not ping.answers)


def _round_trips(pings: Iterable[tuple[str, Ping]]) -> RoundTrips:
    return {(n, p.worker, p.family): p.rtt or 0 for n, p in pings if p.answers}
