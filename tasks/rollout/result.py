"""How each machine of a rollout ended, computed from what its script reports. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from tasks.common.errors import Status
from tasks.common.values import Address
from tasks.iproute.route import Route
from tasks.planning.model import MachinePlan
from tasks.ssh.errors import MachineError

from .outcome import Outcome, ScriptState, outcome_of
from .readback import first_address
from .steps import Steps


class MachineState(Enum):
    """How one machine ended; the value is what users read."""

    DONE = "done"  # the change is kept
    HELD = "held"  # armed, and waits for `fab confirm`
    AS_BEFORE = "as before"  # changed, and reverted
    UNTOUCHED = "untouched"  # never changed
    UNCONFIRMED = "unconfirmed"  # changed, and reverts itself at the deadline, or has reverted
    IN_DOUBT = "in doubt"  # told to keep the change; its answer did not come: kept or unconfirmed
    FILES_NOT_CHANGED = "files not changed"  # kept, but a reboot brings back something else
    NOT_ALL_DELETED = "not all deleted"  # a provider's table: kept, but routes are left to delete
    UNKNOWN = "unknown"  # no answer: reverts itself at the deadline, unless it was confirmed before
    NOT_AS_BEFORE = "not as before"  # told to revert, and its routes are not as before


UNSETTLED = (
    MachineState.UNKNOWN,
    MachineState.UNCONFIRMED,
    MachineState.IN_DOUBT,
    MachineState.FILES_NOT_CHANGED,
    MachineState.NOT_ALL_DELETED,
    MachineState.NOT_AS_BEFORE,
)
COMMITTED = (MachineState.DONE, MachineState.IN_DOUBT, MachineState.FILES_NOT_CHANGED)


@dataclass(frozen=True)
class MachineResult:
    """How one machine, or a provider's table, ended, and why."""

    name: str
    state: MachineState
    why: str = ""


@dataclass(frozen=True)
class Rollout:
    """How a provider's table and all machines ended, in the order in which they were changed."""

    results: tuple[MachineResult, ...]
    whole: bool  # all of the plan was carried out
    interrupted: bool = False
    until: str = ""  # HH:MM:SS by which every change that is not confirmed has reverted itself

    @property
    def touched(self) -> bool:
        """Whether any machine was changed, even if it is as before now."""
        return any(result.state != MachineState.UNTOUCHED for result in self.results)

    def named(self, state: MachineState) -> list[str]:
        """The machines that ended in this state."""
        return [result.name for result in self.results if result.state == state]

    @property
    def status(self) -> Status:
        """The exit status of the task."""
        if self.whole:
            return Status.DONE
        if any(map(self.named, UNSETTLED)):
            return Status.NOT_WHOLE
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.UNDONE if self.touched else Status.ERROR


def with_reason(results: Iterable[MachineResult], why: str) -> tuple[MachineResult, ...]:
    """The results; if none has a reason, the last one gets this one."""
    found = tuple(results)
    if not found or any(r.why for r in found):
        return found
    return (*found[:-1], replace(found[-1], why=why))


def machine_result(machine: MachinePlan, steps: Steps, answer: str | MachineError) -> MachineResult:
    """How a machine ended that was told to change. Any state but DONE reverts the whole run."""
    outcome = outcome_of(answer, steps)
    match outcome.state:
        case ScriptState.DONE:
            wrong = _not_as_planned(machine, outcome)
            state = MachineState.UNKNOWN if wrong else MachineState.DONE
            return MachineResult(machine.name, state, wrong)
        case ScriptState.UNDONE:
            return MachineResult(machine.name, MachineState.AS_BEFORE, outcome.failure)
        case ScriptState.LOCKED | ScriptState.PENDING | ScriptState.CHANGED | ScriptState.UNARMED:
            return MachineResult(machine.name, MachineState.UNTOUCHED, outcome.why)
    return MachineResult(machine.name, MachineState.UNKNOWN, outcome.failure)


def unready_result(machine: MachinePlan, steps: Steps, answer: str | MachineError) -> MachineResult:
    """Why a machine could not be armed. It was not told to change, so it is untouched."""
    return replace(machine_result(machine, steps, answer), state=MachineState.UNTOUCHED)


def kept_result(result: MachineResult, answer: str | MachineError) -> MachineResult:
    """How a machine ended that was told to keep its change."""
    outcome = outcome_of(answer)
    match outcome.state:
        case ScriptState.KEPT:
            return result
        case ScriptState.UNPERSISTED:
            return MachineResult(result.name, MachineState.FILES_NOT_CHANGED, outcome.words)
        case ScriptState.NO_ANSWER:
            why = f"confirmed or not: {outcome.words}"
            return MachineResult(result.name, MachineState.IN_DOUBT, why)
    why = f"not confirmed: {outcome.state.text}"
    return MachineResult(result.name, MachineState.UNCONFIRMED, why)


def reverted_result(result: MachineResult, answer: str | MachineError) -> MachineResult:
    """How a machine ended that was told to revert its change."""
    outcome = outcome_of(answer)
    match outcome.state:
        case ScriptState.DONE:
            return replace(result, state=MachineState.AS_BEFORE)
        case ScriptState.BROKEN | ScriptState.KEPT:
            state, why = MachineState.NOT_AS_BEFORE, outcome.state.text
        case _:
            state, why = MachineState.UNKNOWN, f"going back: {outcome.why}"
    return replace(result, state=state, why="; ".join(filter(None, (result.why, why))))


def _not_as_planned(machine: MachinePlan, outcome: Outcome) -> str:
    """How the routes or next hops that were read back differ from the plan; empty if they agree."""
    puts = [change.put for change in machine.changes if change.put is not None]
    there = {(r.key, r.hops, r.protocol) for r in outcome.routes}
    texts = {_in_main(r) for r in outcome.routes}
    missing: list[Route] = [r for r in puts if (r.key, r.hops, r.protocol) not in there]
    missing += [r for d in machine.restores for r in d.routes if _in_main(r) not in texts]
    remaining = [r for change in machine.changes for r in change.take if _in_main(r) in texts]
    words = [f"{r} is not there" for r in missing] + [f"{r} is still there" for r in remaining]
    ways: dict[Address, object] = dict(outcome.ways)
    for put in puts:
        if ways.get(first_address(put.prefix), put) != put.next_hop:
            words.append(f"packets to {put.prefix} do not go via {put.next_hop}")
    return f"read back: {', '.join(words)}" if words else ""


def _in_main(route: Route) -> str:
    """The text of a route without its table, which `ip` prints only if it shows several tables."""
    return route.text.replace(" table main", "")
