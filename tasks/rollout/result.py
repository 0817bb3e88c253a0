"""How a machine ended, by what its script reports of a change; and all machines together. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tasks.common.errors import Status
from tasks.common.values import Address
from tasks.iproute.route import Route
from tasks.planning.model import MachinePlan
from tasks.ssh.errors import MachineError

from .outcome import Outcome, read_outcome
from .readback import first_address
from .steps import Steps

NO_STEPS = Steps((), ())
UNSETTLED = ("unknown", "unconfirmed", "in doubt", "files not changed", "not as before")


@dataclass(frozen=True)
class Ending:
    """How one machine ended, and why.

    done: kept. held: armed, and waiting for `fab confirm`. as before: changed, and taken back.
    untouched: never changed. unconfirmed: changed, and taking itself back. in doubt: told to keep
    it, and the answer did not come: kept, or taking itself back. files not changed: kept,
    but a reboot would bring back something else. unknown: it cannot be asked; armed or not, it
    is as before once the timeout has passed, or the plan is kept. not as before: it was asked to
    go back, and is neither.
    """

    name: str
    state: str
    why: str = ""


@dataclass(frozen=True)
class Rollout:
    """How all machines ended, in the order they were reached."""

    endings: tuple[Ending, ...]
    whole: bool  # the plan was carried out, all of it
    interrupted: bool = False
    until: str = ""  # HH:MM:SS by which what is not confirmed has taken itself back

    @property
    def touched(self) -> bool:
        """Whether any table was changed, even if it is as before now."""
        return any(ending.state != "untouched" for ending in self.endings)

    def named(self, state: str) -> list[str]:
        """The machines that ended in one state."""
        return [ending.name for ending in self.endings if ending.state == state]

    @property
    def status(self) -> Status:
        """The exit status that says so."""
        if self.whole:
            return Status.DONE
        if any(map(self.named, UNSETTLED)):
            return Status.NOT_WHOLE
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.UNDONE if self.touched else Status.ERROR


def explained(endings: Iterable[Ending], why: str) -> tuple[Ending, ...]:
    """Endings of which at least one says why they are what they are."""
    found = tuple(endings)
    if not found or any(e.why for e in found):
        return found
    return (*found[:-1], replace(found[-1], why=why))


def state_of(answer: str | MachineError) -> str:
    """The state that an answer names; empty where there is none."""
    if isinstance(answer, MachineError):
        return ""
    try:
        return read_outcome(answer, NO_STEPS).state
    except ValueError:
        return ""


def not_kept(ending: Ending, answer: str | MachineError) -> Ending:
    """A confirmation that was refused, or of which nobody knows whether it came in time.

    Or one that was kept, without its files.
    """
    if isinstance(answer, str) and state_of(answer) == "unpersisted":
        return Ending(ending.name, "files not changed", read_outcome(answer, NO_STEPS).words)
    if state_of(answer) == "fired":
        return Ending(ending.name, "unconfirmed", "not confirmed: its undo was carried out before")
    if state_of(answer):
        return Ending(ending.name, "unconfirmed", "not confirmed: another run is at work there")
    why = str(answer) if isinstance(answer, MachineError) else "the answer breaks off"
    return Ending(ending.name, "in doubt", f"confirmed or not: {why}")


def not_ready(machine: MachinePlan, lines: Steps, answer: str | MachineError) -> Ending:
    """Why a machine could not be made ready; it was not told to go, so its table is as it was."""
    return replace(ending_of(machine, lines, answer), state="untouched")


def ending_of(machine: MachinePlan, lines: Steps, answer: str | MachineError) -> Ending:
    """What a machine's report means; what is not as planned has to go back."""
    if isinstance(answer, MachineError):
        return Ending(machine.name, "unknown", str(answer))
    try:
        outcome = read_outcome(answer, lines)
    except ValueError as error:
        return Ending(machine.name, "unknown", str(error))
    failed = f"{outcome.line}: " if outcome.line else ""
    untouched = {
        "locked": f"another run is at work there: {outcome.words}",
        "pending": f"a change waits for confirmation there: {outcome.words}",
        "changed": "its routes have changed since the plan",
        "unarmed": f"no undo could be armed: {outcome.words}",
    }
    if outcome.state in untouched:
        return Ending(machine.name, "untouched", untouched[outcome.state])
    if outcome.state == "undone":
        return Ending(machine.name, "as before", f"{failed}{outcome.words}")
    if outcome.state == "done":
        wrong = _not_as_planned(machine, outcome)
        return Ending(machine.name, "unknown" if wrong else "done", wrong)
    return Ending(machine.name, "unknown", f"{failed}{outcome.words}")


def _not_as_planned(machine: MachinePlan, outcome: Outcome) -> str:
    """What the table, read back, does not have or still has, or where packets go instead."""
    puts = [change.put for change in machine.changes if change.put is not None]
    there = {(r.key, r.hops, r.protocol) for r in outcome.routes}
    texts = {_in_main(r) for r in outcome.routes}
    missing: list[Route] = [r for r in puts if (r.key, r.hops, r.protocol) not in there]
    missing += [r for d in machine.restores for r in d.routes if _in_main(r) not in texts]
    left = [r for change in machine.changes for r in change.take if _in_main(r) in texts]
    words = [f"{r} is not there" for r in missing] + [f"{r} is still there" for r in left]
    ways: dict[Address, object] = dict(outcome.ways)
    for put in puts:
        if ways.get(first_address(put.prefix), put) != put.next_hop:
            words.append(f"packets to {put.prefix} do not go via {put.next_hop}")
    return f"read back: {', '.join(words)}" if words else ""


def _in_main(route: Route) -> str:
    """A route's line, which names its table only where several are shown."""
    return route.text.replace(" table main", "")


def gone_back(ending: Ending, answer: str | MachineError | None) -> Ending:
    """How a machine ended that was sent back, or one that was not."""
    if answer is None:
        return ending
    if state_of(answer) == "done":
        return replace(ending, state="as before")
    state = "unknown"
    why = f"going back: {answer}" if isinstance(answer, MachineError) else "going back failed"
    if state_of(answer) in ("broken", "kept"):
        state = "not as before"
        why = {
            "broken": "its undo does not lead back: has another hand changed its routes?",
            "kept": "somebody has confirmed it meanwhile: `fab rollback --last` takes it back",
        }[state_of(answer)]
    return replace(ending, state=state, why="; ".join(filter(None, (ending.why, why))))
