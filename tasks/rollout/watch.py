"""Watches a cluster: asks every machine every few seconds, and puts back missing routes.

A thread for each machine asks it and reads its answer, so a machine that hangs delays no other.
Missing routes are put back on one machine at a time. Such a repair has all safeguards of a run
except the pings. It deletes nothing, and it replaces no foreign route.
"""

import queue
import threading
from time import monotonic

from tasks.common.errors import Stop
from tasks.common.signals import Interrupts
from tasks.common.text import few
from tasks.common.values import Network
from tasks.facts.complete import complete, doubtful_claims
from tasks.facts.model import Facts
from tasks.facts.survey import facts_script, read_facts
from tasks.inventory.model import Cluster
from tasks.networks.state import NetworkState
from tasks.persistence.backends import Files
from tasks.planning.drift import DriftKind
from tasks.planning.model import Allowed, MachinePlan, Plan, Verb
from tasks.planning.reconcile import plan_routes
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tasks.undo.run import new_run

from .losses import Losses, Say, Teller
from .table_watch import EVERY, TableWatch
from .transaction import roll_out

LOOK = 15  # seconds to wait for a machine's answer
TIMEOUT = 30  # seconds until a repair that is not confirmed reverts


def lost_prefixes(plan: MachinePlan) -> set[Network]:
    """The prefixes of a machine's missing routes."""
    return {d.prefix for d in plan.drift if d.prefix and d.kind is DriftKind.MISSING}


def repair(plan: MachinePlan, facts: Facts, losses: Losses) -> MachinePlan:
    """The part of a machine's plan that puts back missing routes; empty if the plan has a refusal.

    `losses` must have seen the missing routes of this plan.
    """
    lost = lost_prefixes(plan)
    changes = tuple(
        c
        for c in plan.changes
        if c.verb is Verb.ADD and c.prefix in lost and not losses.hopeless(c.prefix)
    )
    files = Files(stay=bool(facts.files))
    return MachinePlan(plan.name, () if plan.refusals else changes, repair=True, files=files)


def unrepaired(plan: MachinePlan, made: MachinePlan, losses: Losses) -> list[str]:
    """The drift and the refusals that this repair leaves as they are, a line for each."""
    putting = {c.prefix for c in made.changes}
    kinds: dict[str, list[str]] = {}
    for d in plan.drift:
        if d.prefix not in putting or d.kind is not DriftKind.MISSING:
            again = (
                "missing again, "
                if d.prefix and d.kind is DriftKind.MISSING and losses.hopeless(d.prefix)
                else ""
            )
            kinds.setdefault(f"{again}left alone: {d.kind.text}", []).append(d.what)
    told = [f"{kind}: {what}" for kind, whats in kinds.items() for what in few(whats)]
    return [*told, *(plan.refusals if plan.drift else ())]


Answer = Facts | MachineError | NetworkState | Stop


class _Watch:
    """One watch in progress."""

    def __init__(self, fleet: Fleet, say: Say, network: NetworkState | None = None) -> None:
        cluster = fleet.cluster
        names = [m.name for m in cluster.machines]
        self._fleet = fleet
        self._table = network.table if network else None
        self._script = facts_script(cluster)
        self._connections = fleet.connections(names)
        for connection in self._connections.values():  # repairs too: others wait for them
            timeouts = connection.config.timeouts
            timeouts.command = timeouts.command or LOOK
        self._answers: queue.Queue[tuple[str, Answer]] = queue.Queue()
        self._asked: set[str] = set()
        self._facts: dict[str, Facts] = {}
        self._losses = {name: Losses() for name in names}
        self._teller = Teller(say)
        self._network: TableWatch | None = None
        if network and cluster.network:
            self._network = TableWatch(cluster.network, cluster.path, self._teller)
            self._answers.put(("", network))

    def look(self) -> None:
        """Ask every machine, except those that have not answered the last question yet."""
        for name in self._connections.keys() - self._asked:
            self._asked.add(name)
            threading.Thread(target=self._ask, args=(name,), daemon=True).start()

    def look_at_table(self) -> None:
        """Ask for the provider's table, unless it has not answered the last question yet."""
        if self._network and "" not in self._asked:
            self._asked.add("")
            threading.Thread(target=self._ask_table, args=(self._network,), daemon=True).start()

    def _ask_table(self, network: TableWatch) -> None:
        self._answers.put(("", network.read()))

    def _ask(self, name: str) -> None:
        try:
            said = self._fleet.run(name, self._script)
            answer: Answer = read_facts(said, self._fleet.cluster, name)
        except MachineError as trouble:
            self._connections[name].close()  # the next look opens a new one
            answer = trouble
        self._answers.put((name, answer))

    def answer(self, seconds: float) -> bool:
        """Wait up to so many seconds for an answer, and act on it; whether a signal arrived."""
        try:
            name, answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            return False
        try:
            return self._answered(name, answer)
        finally:
            self._asked.discard(name)

    def _answered(self, name: str, found: Answer) -> bool:
        if isinstance(found, NetworkState | Stop):
            cluster, _ = complete(self._fleet.cluster, self._facts)
            if self._network:
                self._network.answered(found, cluster, _unknown(cluster))
            return False
        if isinstance(found, MachineError):
            self._teller.tell(name, [f"cannot be asked: {found}"])
            return False
        facts = {**self._facts, name: found}
        for claimant in doubtful_claims(self._fleet.cluster, facts):
            if claimant != name:  # forgotten; its next answer is checked again
                del facts[claimant]
        cluster, mistakes = complete(self._fleet.cluster, facts)
        if mistakes:  # the facts of the others stay as they were
            self._teller.tell(
                name, [f"is not as in {cluster.path}: {line.strip()}" for line in mistakes]
            )
            return False
        self._facts = facts
        asked = {name: found}
        (plan,) = plan_routes(
            cluster, facts, Allowed(), skipped=_unknown(cluster), limit=name, table=self._table
        ).machines
        losses = self._losses[name]
        losses.seen(lost_prefixes(plan))
        made = repair(plan, found, losses)
        stays = frozenset(unrepaired(plan, made, losses))
        if made.changes:
            return self._put_back(made, asked, stays)
        self._teller.tell(name, stays)
        return False

    def _put_back(self, made: MachinePlan, facts: dict[str, Facts], stays: frozenset[str]) -> bool:
        """Put back missing routes, and say what stays wrong; whether a signal arrived."""
        run = new_run(self._fleet.cluster.pod_networks, TIMEOUT)
        name = made.name
        ended = roll_out(self._fleet, Plan((made,), {}), facts, run)
        why = ended.results[0].why if ended.results else "a signal came first"
        what = "put back" if ended.whole else f"not put back: {why}"
        lines = [f"{what}: {lost}" for lost in few([str(c.put) for c in made.changes])]
        if ended.whole:
            self._losses[name].put_back(c.prefix for c in made.changes)
            for line in lines:
                self._teller.say(name, line)
        # What could not be put back is tried again at each look.
        self._teller.tell(name, stays if ended.whole else stays | set(lines))
        return ended.interrupted


def _unknown(cluster: Cluster) -> dict[str, str]:
    """The workers of which not all is known yet."""
    return {w.name: "" for w in cluster.workers if not (w.pod_cidrs and w.internal_ips)}


def watch(fleet: Fleet, every: float, say: Say, network: NetworkState | None = None) -> None:
    """Ask and repair all machines until a signal arrives. `every`: seconds between two looks.

    `network`: the provider's, if it routes. Its table is asked for less often.
    """
    watch = _Watch(fleet, say, network)
    due = monotonic()
    table_due = due + max(every, EVERY)
    with Interrupts() as interrupts:
        while not interrupts.seen:
            if monotonic() >= due:
                watch.look()
                due = max(due + every, monotonic())
            if monotonic() >= table_due:
                watch.look_at_table()
                table_due = max(table_due + max(every, EVERY), monotonic())
            if watch.answer(min(0.2, max(0.0, due - monotonic()))):
                return
