"""Carrying out a plan: one machine after the other, all of it or nothing."""

import getpass
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from types import FrameType
from typing import Any

from .changes import MachinePlan, Plan
from .exits import Status, Stop
from .facts import Facts
from .fleet import Fleet
from .route import Route
from .shell import Trouble
from .steps import Steps, carry_out, go_back, read_outcome, steps


@dataclass(frozen=True)
class Ending:
    """How one machine ended: done, as before, or unknown; and why."""

    name: str
    state: str
    why: str = ""


@dataclass(frozen=True)
class Rollout:
    """How all machines ended, in the order they were reached."""

    endings: tuple[Ending, ...]
    whole: bool  # the plan was carried out, all of it
    interrupted: bool = False

    @property
    def touched(self) -> bool:
        """Whether any table was changed, even if it is as before now."""
        return any(ending.state != "untouched" for ending in self.endings)

    @property
    def lost(self) -> list[str]:
        """The machines of which it is not known how they are."""
        return [ending.name for ending in self.endings if ending.state == "unknown"]

    @property
    def status(self) -> Status:
        """The exit status that says so."""
        if self.whole:
            return Status.DONE
        if self.lost:
            return Status.NOT_WHOLE
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.UNDONE if self.touched else Status.ERROR


class Interrupts:
    """Notes Ctrl-C, SIGTERM and SIGHUP, so that a machine's command is never abandoned."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.seen = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        self._before = {s: signal.signal(s, self._note) for s in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.seen = True
        print("interrupted: taking back what this run changed …", file=sys.stderr)


def roll_out(fleet: Fleet, plan: Plan, facts: Mapping[str, Facts]) -> Rollout:
    """Carry out a plan in the cluster's order; at the first failure everything goes back."""
    run = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")
    todo = {m.name: (m, steps(m, run)) for m in plan.machines if not m.empty}
    pod_networks = fleet.cluster.pod_networks
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    endings: list[Ending] = []
    with Interrupts() as interrupts:
        for connection in fleet.group(todo):
            if interrupts.seen:
                break
            name = fleet.name_of(connection)
            machine, lines = todo[name]
            script = carry_out(lines, facts[name].snapshot, pod_networks, who)
            try:
                endings.append(_ending(machine, lines, fleet.run(connection, script)))
            except Trouble as trouble:
                endings.append(Ending(name, "unknown", str(trouble)))
            if endings[-1].state != "done":
                break
        if [e.state for e in endings] == ["done"] * len(todo):
            return Rollout(tuple(endings), whole=True)
        back = {
            e.name: go_back(todo[e.name][1], facts[e.name].snapshot, pod_networks, who)
            for e in endings
            if e.state in ("done", "unknown")
        }
        answers = fleet.ask(back)
        endings = [_gone_back(e, answers.get(e.name), todo[e.name][1]) for e in endings]
        return Rollout(tuple(endings), whole=False, interrupted=interrupts.seen)


def _ending(machine: MachinePlan, lines: Steps, answer: str) -> Ending:
    """What a machine's report means; what is not as planned has to go back."""
    try:
        outcome = read_outcome(answer, lines)
    except ValueError as error:
        return Ending(machine.name, "unknown", str(error))
    match outcome.state:
        case "done":
            wrong = _not_as_planned(machine, outcome.routes)
            return Ending(machine.name, "unknown" if wrong else "done", wrong)
        case "undone":
            failed = f"{outcome.line}: " if outcome.line else ""
            return Ending(machine.name, "as before", f"{failed}{outcome.words}")
        case "broken":
            return Ending(machine.name, "unknown", f"{outcome.line}: {outcome.words}")
        case "locked":
            return Ending(
                machine.name, "untouched", f"another run is at work there: {outcome.words}"
            )
        case "changed":
            return Ending(machine.name, "untouched", "its routes have changed since the plan")


def _not_as_planned(machine: MachinePlan, routes: tuple[Route, ...]) -> str:
    """What the table, read back, does not have or still has; empty if it is as planned."""
    puts = [change.put for change in machine.changes if change.put is not None]
    there = {(r.key, r.hops, r.protocol) for r in routes}
    texts = {r.text for r in routes}
    missing = [r for r in puts if (r.key, r.hops, r.protocol) not in there]
    missing += [r for d in machine.restores for r in d.routes if r.text not in texts]
    left = [r for change in machine.changes for r in change.take if r.text in texts]
    words = [f"{r} is not there" for r in missing] + [f"{r} is still there" for r in left]
    return f"read back: {', '.join(words)}" if words else ""


def _gone_back(ending: Ending, answer: str | Trouble | None, lines: Steps) -> Ending:
    """How a machine ended that was sent back, or none that was not."""
    if answer is None:
        return ending
    why = [ending.why] if ending.why else []
    try:
        if isinstance(answer, Trouble):
            raise answer
        outcome = read_outcome(answer, lines)
        if outcome.state == "done":
            return Ending(ending.name, "as before", ending.why)
        why.append(f"going back failed: {outcome.state} {outcome.words}".strip())
    except (Trouble, ValueError) as error:
        why.append(f"going back failed: {error}")
    return Ending(ending.name, "unknown", "; ".join(why))


def agree(question: str, yes: bool) -> None:
    """Ask in a terminal; raises Stop where the answer is no, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Stop(f"{question} There is no terminal to ask: add --yes. Nothing was changed.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop("not confirmed: nothing was changed")
