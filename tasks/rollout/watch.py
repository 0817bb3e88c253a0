"""A cluster kept true: every few seconds each machine is asked, and what it lost is put back.

Each machine is asked, and what it says is read, by a thread of its own, so that one that hangs, or
says much, holds up no other; what is lost is put back one machine after the other, with the guards
of every run but the pings. Nothing is deleted here, and nothing that another hand has put there is
replaced.
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from time import monotonic

from tasks.common.signals import Interrupts
from tasks.common.text import few
from tasks.common.values import Network
from tasks.facts.complete import complete, usurpers
from tasks.facts.gather import question
from tasks.facts.model import Facts
from tasks.facts.parse import read
from tasks.persistence.backends import Files
from tasks.planning.drift import DriftKind
from tasks.planning.model import Allowed, MachinePlan, Plan, Verb
from tasks.planning.reconcile import plan_routes
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tasks.undo import recovery
from tasks.undo.run import new_run

from .transaction import roll_out

PUT_BACK = 2  # times in a row that a lost route is put back; the third time it is left alone
LOOK = 15  # seconds until a machine that says nothing counts as one that cannot be asked
TIMEOUT = 30  # seconds until what could not be confirmed takes itself back

Say = Callable[[str, str], None]  # a machine, and what happened there


class Losses:
    """Which of its routes one machine goes on losing."""

    def __init__(self) -> None:
        self._put_back: Counter[Network] = Counter()

    def seen(self, lost: Collection[Network]) -> None:
        """What a look found lost; a route that it found there again begins anew."""
        for prefix in self._put_back.keys() - lost:
            del self._put_back[prefix]

    def put_back(self, prefixes: Iterable[Network]) -> None:
        """What was put back."""
        self._put_back.update(prefixes)

    def hopeless(self, prefix: Network) -> bool:
        """Whether a route was put back so often that it is to be left alone."""
        return self._put_back[prefix] >= PUT_BACK


def repair(plan: MachinePlan, facts: Facts, losses: Losses) -> MachinePlan:
    """The part of a machine's plan that puts back what it lost, and does nothing else.

    `losses` has seen what the plan says is lost.
    """
    lost = {d.prefix for d in plan.drift if d.kind is DriftKind.MISSING}
    changes = tuple(
        c
        for c in plan.changes
        if c.verb is Verb.ADD and c.prefix in lost and not losses.hopeless(c.prefix)
    )
    files = Files(stay=bool(facts.files))
    return MachinePlan(plan.name, () if plan.refusals else changes, repair=True, files=files)


def lasting(plan: MachinePlan, made: MachinePlan, losses: Losses) -> list[str]:
    """What is wrong on a machine and stays so, since it is not to be put back, or cannot be."""
    putting = {c.prefix for c in made.changes}
    kinds: dict[str, list[str]] = {}
    for d in plan.drift:
        if d.prefix not in putting or d.kind is not DriftKind.MISSING:
            again = (
                "missing again, "
                if d.kind is DriftKind.MISSING and losses.hopeless(d.prefix)
                else ""
            )
            kinds.setdefault(f"{again}left alone: {d.kind.text}", []).append(d.what)
    told = [f"{kind}: {what}" for kind, whats in kinds.items() for what in few(whats)]
    return [*told, *(plan.refusals if plan.drift else ())]


class _Watch:
    """One watch under way."""

    def __init__(self, fleet: Fleet, say: Say) -> None:
        cluster = fleet.cluster
        names = [m.name for m in cluster.machines]
        known = [ip for m in cluster.machines for ip in m.internal_ips]
        self._fleet = fleet
        self._say = say
        self._script = question(
            cluster.pod_networks, known, False, recovery.settle(new_run(cluster.pod_networks, 0))
        )
        self._connections = fleet.connections(names)
        for connection in self._connections.values():  # also while one is mended: others wait
            timeouts = connection.config.timeouts
            timeouts.command = timeouts.command or LOOK
        self._answers: queue.Queue[tuple[str, Facts | MachineError]] = queue.Queue()
        self._asked: set[str] = set()
        self._facts: dict[str, Facts] = {}
        self._losses = {name: Losses() for name in names}
        self._told = dict.fromkeys(names, frozenset[str]())

    def look(self) -> None:
        """Ask every machine that has answered what it was asked before."""
        for name in self._connections.keys() - self._asked:
            self._asked.add(name)
            threading.Thread(target=self._ask, args=(name,), daemon=True).start()

    def _ask(self, name: str) -> None:
        try:
            answer: Facts | MachineError = _facts(self._fleet.run(name, self._script))
        except MachineError as trouble:
            self._connections[name].close()  # the next look makes a new one
            answer = trouble
        self._answers.put((name, answer))

    def answer(self, seconds: float) -> bool:
        """Deal with one answer, if one comes within that time; whether a signal came meanwhile."""
        try:
            name, answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            return False
        try:
            return self._answered(name, answer)
        finally:
            self._asked.discard(name)

    def _answered(self, name: str, found: Facts | MachineError) -> bool:
        if isinstance(found, MachineError):
            self._tell(name, [f"cannot be asked: {found}"])
            return False
        facts = {**self._facts, name: found}
        for usurper in usurpers(self._fleet.cluster, facts):
            if usurper != name:  # not believed any more; it is told so when it answers next
                del facts[usurper]
        cluster, mistakes = complete(self._fleet.cluster, facts)
        if mistakes:  # those of the others count on, as they were before
            self._tell(name, [f"is not as in {cluster.path}: {line.strip()}" for line in mistakes])
            return False
        self._facts = facts
        unknown = {w.name: "" for w in cluster.workers if not (w.pod_cidrs and w.internal_ips)}
        asked = {name: found}
        (plan,) = plan_routes(cluster, asked, Allowed(), skipped=unknown).machines
        losses = self._losses[name]
        losses.seen({d.prefix for d in plan.drift if d.kind is DriftKind.MISSING})
        made = repair(plan, found, losses)
        stays = frozenset(lasting(plan, made, losses))
        if made.changes:
            return self._put_back(made, asked, stays)
        self._tell(name, stays)
        return False

    def _put_back(self, made: MachinePlan, facts: dict[str, Facts], stays: frozenset[str]) -> bool:
        """Put back what a machine lost, and say what stays wrong; whether a signal came."""
        run = new_run(self._fleet.cluster.pod_networks, TIMEOUT)
        name = made.name
        ended = roll_out(self._fleet, Plan((made,), {}), facts, run)
        why = ended.results[0].why if ended.results else "a signal came first"
        what = "put back" if ended.whole else f"not put back: {why}"
        lines = [f"{what}: {lost}" for lost in few([str(c.put) for c in made.changes])]
        if ended.whole:
            self._losses[name].put_back(c.prefix for c in made.changes)
            for line in lines:
                self._say(name, line)
        self._tell(name, stays if ended.whole else stays | set(lines))  # tried at each look
        return ended.interrupted

    def _tell(self, name: str, lasting: Iterable[str]) -> None:
        """Say what is new of a machine among that which lasts, once."""
        now = frozenset(lasting)
        before = self._told[name]
        for line in sorted(now - before):
            self._say(name, line)
        if before and not now:
            self._say(name, "all is well again")
        self._told[name] = now


def _facts(answer: str) -> Facts | MachineError:
    """What a machine says of itself; MachineError where that is of no use."""
    try:
        found = read(answer)
    except ValueError as error:
        return MachineError(str(error))
    return MachineError(f"{', '.join(found.missing)} not found there") if found.missing else found


def watch(fleet: Fleet, every: float, say: Say) -> None:
    """Look at all machines every so many seconds, until a signal comes."""
    watch = _Watch(fleet, say)
    due = monotonic()
    with Interrupts() as interrupts:
        while not interrupts.seen:
            if monotonic() >= due:
                watch.look()
                due = max(due + every, monotonic())
            if watch.answer(min(0.2, max(0.0, due - monotonic()))):
                return
