"""A plan carried out: machine by machine, each change armed, and kept only when all are well."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic

from tasks.common.progress import progress
from tasks.common.signals import Interrupts
from tasks.facts.model import Facts
from tasks.facts.run_order import earlier, last_runs
from tasks.planning.model import MachinePlan, Plan, Verb
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import Talk
from tasks.undo import recovery
from tasks.undo.records import RUNS, last_lines
from tasks.undo.run import Run

from .carry_out import carry_out
from .outcome import ScriptState, outcome_of
from .result import (
    MachineResult,
    MachineState,
    Rollout,
    kept_result,
    machine_result,
    reverted_result,
    unready_result,
    with_reason,
)
from .steps import steps

Check = Callable[[], str]  # why everything has to go back; empty if all is well


class _Rollout:
    """One run under way."""

    def __init__(self, fleet: Fleet, plan: Plan, facts: Mapping[str, Facts], run: Run) -> None:
        self._fleet = fleet
        self._facts = facts
        self._todo = {m.name: (m, steps(m, run.id)) for m in plan.machines if not m.empty}
        self._run = replace(run, machines=tuple(self._todo))
        self._pushed = monotonic()  # no deadline was set before
        self._armed = monotonic()  # none was set after
        self._talks: dict[str, Talk] = {}  # with the machines that are armed
        self.results: list[MachineResult] = []

    @property
    def complete(self) -> bool:
        """Whether every machine is changed and armed."""
        return [r.state for r in self.results] == [MachineState.DONE] * len(self._todo)

    def arm(self) -> None:
        """Have every machine arm its undo, and wait; where one cannot, none is changed."""
        scripts = {}
        lasts = last_runs(self._facts)
        for name, (machine, lines) in self._todo.items():
            facts = self._facts[name]
            scripts[name] = carry_out(
                lines,
                facts.snapshot,
                self._run,
                _changes(machine),
                _what(machine),
                facts.lifelines,
                machine.forgets,
                earlier(facts, lasts),
                len(facts.runs) >= RUNS,
            )
        for name, talk in self._fleet.talks(scripts, recovery.READY, "arming").items():
            if isinstance(talk, (str, MachineError)):
                self.results.append(unready_result(*self._todo[name], talk))
            else:
                self._talks[name] = talk
        self._armed = monotonic()

    def forward(self, interrupts: Interrupts, at_once: int) -> None:
        """Change so many machines at a time, until one fails; those that are left stay as are."""
        names = [self._fleet.name_of(connection) for connection in self._fleet.group(self._talks)]
        with progress("changing", len(names)) as step:
            for at in range(0, len(names), at_once):
                if any(r.state != MachineState.DONE for r in self.results) or not self._in_time():
                    return
                if interrupts.seen:
                    return
                wave = {name: self._talks[name] for name in names[at : at + at_once]}
                for name, answer in self._fleet.tell(wave, "go", recovery.READY).items():
                    self.results.append(machine_result(*self._todo[name], answer))
                    step()

    def _in_time(self) -> bool:
        """Whether every undo is still armed; deadlines that come nearer are set anew."""
        if monotonic() - self._pushed <= self._run.timeout / 3:
            return True
        lost = self._push()
        changed = {result.name for result in self.results}
        why = "its time was up before its turn came: give more, with --confirm-timeout"
        untouched = MachineState.UNTOUCHED
        self.results += [MachineResult(n, untouched, why) for n in lost if n not in changed]
        return not lost

    def push(self) -> str:
        """Set all deadlines anew; why everything has to go back where an undo is not armed."""
        lost = self._push()
        return f"the undo is not armed any more on {', '.join(lost)}" if lost else ""

    def _push(self) -> list[str]:
        """Set all deadlines anew; the machines whose undo is not armed any more."""
        self._pushed = monotonic()
        answers = self._fleet.tell(self._talks, "push", recovery.READY)
        self._armed = monotonic()
        return [
            name
            for name, answer in answers.items()
            if outcome_of(answer).state != ScriptState.ARMED
        ]

    def checked(self, check: Check) -> str:
        """What a check says; it may take longer than the timeout, so deadlines are set anew."""
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
        """Confirm every change; what cannot be confirmed takes itself back."""
        answers = self._fleet.tell(self._talks, "keep", recovery.READY)
        self.results = [kept_result(r, answers[r.name]) for r in self.results]
        self.leave()

    def leave(self) -> None:
        """Speak to no machine any more; what is changed stays armed, the others are as before."""
        for talk in self._talks.values():
            talk.close()

    def back(self, why: str) -> None:
        """Take back what was done, everywhere; what cannot be reached does it by itself."""
        self.leave()
        scripts = {
            r.name: recovery.revert_run(self._run, " ".join(why.split()))  # a line of its history
            for r in self.results
            if r.state in (MachineState.DONE, MachineState.UNKNOWN)
        }
        answers = self._fleet.ask(scripts)
        self.results = [
            reverted_result(r, answers[r.name]) if r.name in answers else r for r in self.results
        ]

    @property
    def until(self) -> str:
        """By when what is armed has taken itself back, with a moment to spare."""
        return self._clock(self._armed + 2)

    @property
    def held(self) -> str:
        """Until when everything that is armed is sure to be so."""
        return self._clock(self._pushed)

    def _clock(self, armed: float) -> str:
        left = timedelta(seconds=armed + self._run.timeout - monotonic())
        return (datetime.now() + left).strftime("%H:%M:%S")


def roll_out(
    fleet: Fleet,
    plan: Plan,
    facts: Mapping[str, Facts],
    run: Run,
    check: Check | None = None,
    hold: bool = False,
    at_once: int = 1,
) -> Rollout:
    """Carry out a plan in the cluster's order, all of it or nothing, on so many machines at once.

    Every undo is armed before the first table is changed. When every machine is changed, `check`
    says whether all is well; every undo must still be armed then. From the first confirmation on
    the run is committed. With `hold` nothing is confirmed: that is left to `fab confirm`.
    """
    with Interrupts() as interrupts:
        under_way = _Rollout(fleet, plan, facts, run)
        under_way.arm()
        under_way.forward(interrupts, at_once)
        why = ""
        if under_way.complete:
            if check:
                why = under_way.push() or under_way.checked(check)
            why = why or under_way.push()
        if not under_way.complete or why or interrupts.seen:
            why = why or ("interrupted" if interrupts.seen else "another machine failed")
            under_way.back(why)
            results = with_reason(under_way.results, why)
            return Rollout(results, False, interrupts.seen, under_way.until)
        if hold:
            under_way.leave()
            held = tuple(replace(r, state=MachineState.HELD) for r in under_way.results)
            return Rollout(held, True, interrupts.seen, under_way.held)
        under_way.keep()
        results = tuple(under_way.results)
        return Rollout(results, under_way.complete, interrupts.seen, under_way.until)


def _changes(machine: MachinePlan) -> list[str] | None:
    """What `rollback --last` will need to know; nothing of what is itself a way back."""
    if machine.repair:
        return None
    if machine.is_rollback:
        return []
    puts = [c.put for c in machine.changes if c.put is not None]
    return last_lines(puts, [r for c in machine.changes for r in c.take if r.owned])


def _what(machine: MachinePlan) -> str:
    """A machine's changes in a few words, for its history."""
    counts = [(machine.count(verb), str(verb)) for verb in Verb]
    counts.append((len(machine.restores), "restore"))
    counts.append((len(machine.files.write) + len(machine.files.remove), "file"))
    return ", ".join(f"{number} {verb}" for number, verb in counts if number) or "records only"
