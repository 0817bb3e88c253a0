"""Carries out a plan on all machines: keeps every change, or reverts every change."""

from collections.abc import Mapping
from dataclasses import replace

from tasks.common.signals import Interrupts
from tasks.facts.model import Facts
from tasks.planning.model import Plan
from tasks.ssh.fleet import Fleet
from tasks.undo.run import Run

from .check import NO_CHECK, Check
from .in_progress import RunInProgress
from .provider_table import TableRun, around
from .result import MachineState, Rollout, with_reason


def roll_out(
    fleet: Fleet,
    plan: Plan,
    facts: Mapping[str, Facts],
    run: Run,
    check: Check = NO_CHECK,
    hold: bool = False,
    at_once: int = 1,
    table: TableRun | None = None,
) -> Rollout:
    """Carry out a plan on all its machines, or revert it on all; how each machine ended.

    `table`: the part of the plan for a provider's table. It is all of it or nothing too.

    Every undo is armed before the first machine is changed. Then `at_once` machines are changed at
    a time, in the cluster's order. When all are changed, `check` says whether the run must be
    reverted; if it finds trouble before, no further machine is changed. After it every undo must
    still be armed. The first confirmation commits the run: no machine is told to revert after it.
    With `hold` nothing is confirmed: `fab confirm` does it.
    """
    with Interrupts() as interrupts:
        under_way = RunInProgress(fleet, plan, facts, run)
        try:
            if table is None:
                return _result(under_way, interrupts, check, hold, at_once)
            return around(
                table,
                lambda: _result(under_way, interrupts, check, hold, at_once),
                lambda: interrupts.seen,
                hold,
            )
        finally:
            check.end()


def _result(
    under_way: RunInProgress, interrupts: Interrupts, check: Check, hold: bool, at_once: int
) -> Rollout:
    under_way.arm()
    if under_way.armed and not interrupts.seen:
        under_way.checked(check.begin)
    under_way.forward(interrupts, check, at_once)
    why = check.trouble
    if under_way.complete and not why and not interrupts.seen:
        under_way.speak()
    if under_way.complete and not why:
        why = under_way.settle(interrupts)
    if under_way.complete and not why and not interrupts.seen:
        under_way.last(at_once)
    if under_way.complete and not why:
        why = under_way.push() or under_way.checked(check.result)
        why = why or under_way.push("push" if hold else "commit")
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
