"""Pings pods before and after a rollout, to find pairs of workers that the change made silent."""

import sys
from collections.abc import Iterable, Mapping

from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.common.values import Network
from tasks.connectivity.mesh import PingRequest, ping_all
from tasks.connectivity.ping import Report
from tasks.connectivity.sample import Pairs
from tasks.facts.model import Facts
from tasks.facts.survey import Survey
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.planning.model import MachinePlan, Plan
from tasks.ssh.fleet import Fleet


def routed_pairs(cluster: Cluster, facts: Mapping[str, Facts], plan: Plan | None = None) -> Pairs:
    """The pairs of workers with correct routes in both directions; with a plan, after the plan."""
    planned = {machine.name: machine for machine in plan.machines} if plan else {}
    tables = {name: _winners(_after(f, planned.get(name))) for name, f in facts.items()}
    workers = [w for w in cluster.workers if w.name in facts]

    def leads(source: str, target: str) -> bool:
        worker = cluster.machine(target)
        return all(
            prefix in tables[source]
            and tables[source][prefix].next_hop == worker.internal_ip(prefix.version)
            for prefix in worker.pod_cidrs
        )

    return frozenset(
        (one.name, other.name)
        for one in workers
        for other in workers
        if one is not other and leads(one.name, other.name) and leads(other.name, one.name)
    )


def _after(facts: Facts, machine: MachinePlan | None) -> list[Route]:
    """A machine's routes after its plan is carried out; its routes now if it has no plan."""
    if machine is None:
        return list(facts.routes)
    taken = {route for change in machine.changes for route in change.take}
    puts = [change.put for change in machine.changes if change.put is not None]
    restored = [route for displaced in machine.restores for route in displaced.routes]
    return [*(r for r in facts.routes if r not in taken), *puts, *restored]


def _winners(routes: Iterable[Route]) -> dict[Network, Route]:
    """For each prefix, the route that the kernel uses: the one with the lowest metric."""
    winners: dict[Network, Route] = {}
    for route in routes:
        if route.table == "main" and route.tos == "0":
            held = winners.setdefault(route.prefix, route)
            if route.metric < held.metric:
                winners[route.prefix] = route
    return winners


class PairCheck:
    """Pings before a rollout, and again after every machine is changed.

    A new PairCheck pings the pairs that have routes both before and after the plan. The call pings
    all pairs that have routes after the plan. A pair that was silent before, or had no routes, does
    not revert the run. `silent` then holds such pairs if they are still silent.
    """

    def __init__(self, fleet: Fleet, survey: Survey, plan: Plan) -> None:
        self._fleet = fleet
        self._survey = survey
        self._after = routed_pairs(survey.cluster, survey.facts, plan)
        before = routed_pairs(survey.cluster, survey.facts) & self._after
        self._answered = before - self._silent(before)
        self.silent: Pairs = frozenset()

    def __call__(self) -> str:
        """Why the run must be reverted; empty if no pair that answered before is silent now."""
        try:
            silent = self._silent(self._after)
            gone = self._silent(silent & self._answered)
        except Stop as stop:
            print(stop.message, file=sys.stderr)  # not returned: the reason goes to all machines
            return "the pings after the change failed"
        self.silent = silent - self._answered
        if not gone:
            return ""
        named = listed((f"{one} to {other}" for one, other in sorted(gone)), most=5)
        return f"pods that answered before have gone silent: {named}"

    def _silent(self, pairs: Pairs) -> Pairs:
        """The pairs in which a ping of either family gets no answer; not those without a probe."""
        if not pairs:
            return pairs
        reports: Mapping[str, Report] = ping_all(
            self._fleet, self._survey, PingRequest(pairs, machines=False)
        )
        return frozenset(
            (name, ping.worker)
            for name, report in reports.items()
            for ping in report.pings
            if not ping.answers
        )
