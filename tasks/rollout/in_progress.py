"""A run in progress: the scripts on its machines, which wait for what to do next."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic, sleep
from typing import TypeVar

from tasks.bgp.bird import read_sessions
from tasks.common.signals import Interrupts
from tasks.common.text import listed
from tasks.facts.model import Facts
from tasks.facts.run_order import earlier, last_runs
from tasks.planning.model import Plan
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError, said
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import RunningScript
from tasks.undo import recovery
from tasks.undo.records import RUNS
from tasks.undo.run import Run

from .carry_out import carry_out
from .check import Check
from .outcome import ScriptState, outcome_of
from .records import changed_routes, summary
from .result import (
    MachineResult,
    MachineState,
    kept_result,
    machine_result,
    reverted_result,
    unready_result,
)
from .steps import steps

T = TypeVar("T")

SETTLING = 30  # seconds for routes to come by BGP; less with a shorter timeout
PAUSE = 0.5  # seconds between two looks whether they have come


class RunInProgress:
    """What the machines of one run are told, step by step, and what they answer."""

    def __init__(self, fleet: Fleet, plan: Plan, facts: Mapping[str, Facts], run: Run) -> None:
        self._fleet = fleet
        self._facts = facts
        self._todo = {m.name: (m, steps(m, run.id)) for m in plan.machines if not m.empty}
        self._run = replace(run, machines=tuple(self._todo))
        self._pushed = monotonic()  # when the last deadlines were set, at the earliest
        self._armed = monotonic()  # when they were set, at the latest
        self._running: dict[str, RunningScript] = {}  # with the armed machines
        self.results: list[MachineResult] = []

    @property
    def armed(self) -> bool:
        """Whether the undo is armed on every machine."""
        return len(self._running) == len(self._todo)

    @property
    def complete(self) -> bool:
        """Whether every machine is changed and armed."""
        return [r.state for r in self.results] == [MachineState.DONE] * len(self._todo)

    def arm(self) -> None:
        """Arm the undo on every machine. If a machine cannot, `forward` changes none."""
        scripts = {}
        lasts = last_runs(self._facts)
        for name, (machine, lines) in self._todo.items():
            facts = self._facts[name]
            scripts[name] = carry_out(
                lines,
                facts.snapshot,
                self._run,
                changed_routes(machine),
                summary(machine),
                facts.lifelines,
                machine.discards,
                earlier(facts, lasts),
                len(facts.runs) >= RUNS,
            )
        for name, running in self._fleet.start(scripts, recovery.READY, "arming").items():
            if isinstance(running, (str, MachineError)):
                self.results.append(unready_result(*self._todo[name], running))
            else:
                self._running[name] = running
        self._armed = monotonic()

    def forward(self, interrupts: Interrupts, check: Check, at_once: int) -> None:
        """Change `at_once` machines at a time, until one fails, a signal arrives or trouble."""
        names = [self._fleet.name_of(connection) for connection in self._fleet.group(self._running)]
        with self._fleet.progress("changing", len(names)) as step:
            for at in range(0, len(names), at_once):
                if any(r.state != MachineState.DONE for r in self.results) or not self._in_time():
                    return
                if interrupts.seen or check.trouble:
                    return
                wave = {name: self._running[name] for name in names[at : at + at_once]}
                for name, answer in self._fleet.send(wave, "go", recovery.READY).items():
                    self.results.append(machine_result(*self._todo[name], answer))
                    step()

    def speak(self) -> None:
        """Start BIRD where it is to run, or have it read its new configuration."""
        names = [name for name, (m, _) in self._todo.items() if m.bird and m.bird.conf]
        self._stage("speak", {name: self._running[name] for name in names})

    def settle(self, interrupts: Interrupts) -> str:
        """Wait until the routes that come by BGP stand on all machines; why they do not."""
        waiting = {n: self._running[n] for n, (_, s) in self._todo.items() if s.expected}
        seconds = min(SETTLING, self._run.timeout)
        until = monotonic() + seconds
        while waiting and not interrupts.seen:
            if not self._in_time():
                return "the undo is not armed any more everywhere"
            answers = self._fleet.send(waiting, "stands", recovery.READY)
            lacking = {name: what for name, answer in answers.items() if (what := lacks(answer))}
            if not lacking:
                return ""
            if monotonic() > until:
                named = listed((f"{name} lacks {what}" for name, what in lacking.items()), most=5)
                return f"after {seconds} s routes have not come by BGP: {named}"
            waiting = {name: self._running[name] for name in lacking}
            sleep(PAUSE)
        return ""

    def last(self, at_once: int) -> None:
        """Carry out what comes once all machines have the routes that they wait for."""
        names = [n for n, (m, _) in self._todo.items() if m.later or (m.bird and not m.bird.conf)]
        for at in range(0, len(names), at_once):
            self._stage("last", {name: self._running[name] for name in names[at : at + at_once]})
            if not self.complete:
                return

    def _stage(self, word: str, scripts: dict[str, RunningScript]) -> None:
        """Have these scripts carry out a later stage, and note where it failed."""
        for name, answer in self._fleet.send(scripts, word, recovery.READY).items():
            machine, lines = self._todo[name]
            done = machine.later if word == "last" else ()
            result = machine_result(replace(machine, changes=done), lines, answer)
            self.results = [result if r.name == name else r for r in self.results]

    def _in_time(self) -> bool:
        """Whether every undo is still armed. Moves the deadlines after a third of the timeout."""
        if monotonic() - self._pushed <= self._run.timeout / 3:
            return True
        lost = self._push()
        changed = {result.name for result in self.results}
        why = "its time was up before its turn came: give more, with --confirm-timeout"
        untouched = MachineState.UNTOUCHED
        self.results += [MachineResult(n, untouched, why) for n in lost if n not in changed]
        return not lost

    def push(self, word: str = "push") -> str:
        """Move all deadlines; why the run must be reverted, or empty if every undo is armed.

        With `commit` for a word, the machines know that others may have confirmed from then on.
        """
        lost = self._push(word)
        return f"the undo is not armed any more on {', '.join(lost)}" if lost else ""

    def _push(self, word: str = "push") -> list[str]:
        """Move all deadlines; the machines whose undo is no longer armed."""
        self._pushed = monotonic()
        answers = self._fleet.send(self._running, word, recovery.READY)
        self._armed = monotonic()
        return [
            name
            for name, answer in answers.items()
            if outcome_of(answer).state != ScriptState.ARMED
        ]

    def checked(self, check: Callable[[], T]) -> T:
        """What a check returns. Deadlines move while it runs, so it may outlast the timeout."""
        over = Event()

        def push() -> None:
            while not over.wait(self._run.timeout / 3):
                self._push()

        thread = Thread(target=push, daemon=True)
        thread.start()
        try:
            return check()
        finally:
            over.set()
            thread.join()

    def keep(self) -> None:
        """Confirm every change. A change that cannot be confirmed reverts at its deadline."""
        answers = self._fleet.send(self._running, "keep", recovery.READY)
        self.results = [kept_result(r, answers[r.name]) for r in self.results]
        self.leave()

    def leave(self) -> None:
        """End all scripts. Changes that were carried out stay armed; other machines disarm."""
        for running in self._running.values():
            running.close()

    def back(self, why: str) -> None:
        """Revert every change. A machine that cannot be reached reverts at its deadline."""
        self.leave()
        scripts = {
            r.name: recovery.revert_run(self._run, " ".join(why.split()))  # one line of the history
            for r in self.results
            if r.state in (MachineState.DONE, MachineState.UNKNOWN)
        }
        answers = self._fleet.ask(scripts)
        self.results = [
            reverted_result(r, answers[r.name]) if r.name in answers else r for r in self.results
        ]

    @property
    def until(self) -> str:
        """HH:MM:SS by which every armed change has reverted, with 2 seconds to spare."""
        return self._clock(self._armed + 2)

    @property
    def held(self) -> str:
        """HH:MM:SS until which every armed change waits at least."""
        return self._clock(self._pushed)

    def _clock(self, armed: float) -> str:
        left = timedelta(seconds=armed + self._run.timeout - monotonic())
        return (datetime.now() + left).strftime("%H:%M:%S")


def lacks(answer: str | MachineError) -> str:
    """The routes that a machine waits for, and why, or why it does not say; empty if it has all."""
    try:
        found = sections(said(answer))
    except (MachineError, ValueError) as error:
        return str(error)
    routes = found.get(("lacks", ""))
    if routes is None:
        return "an answer"
    down = [s for s in read_sessions(found.get(("sessions", ""), ())) if not s.established]
    why = listed((f"{s.remote}: {s.why or s.state}" for s in down), most=3)
    return f"{listed(routes, most=3)}{why and f' ({why})'}"
