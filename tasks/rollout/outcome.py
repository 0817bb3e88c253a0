"""Reads what a script reports of a change. All of it is checked: a machine may print anything."""

import re
from dataclasses import dataclass
from enum import Enum

from tasks.common.values import Address, shown
from tasks.iproute.route import Route, parse, parse_all
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError, said

from .steps import Steps

MAX_CHARS = 1000  # of a machine's words in an outcome
NO_STEPS = Steps((), ())


class ScriptState(Enum):
    """The state of a change: the word that a script prints, and the text that a user reads."""

    text: str

    DONE = "done", "carried out"  # either the change, which is armed, or the revert
    UNDONE = "undone", "reverted"  # a step failed, and the routes are as before
    BROKEN = (
        "broken",
        "its undo does not lead back: has somebody else changed its routes? `fab plan` says more",
    )
    # In the next four states nothing was changed.
    LOCKED = "locked", "another run is at work there"
    PENDING = "pending", "a change waits for confirmation there"
    CHANGED = "changed", "its routes have changed since the plan"
    UNARMED = "unarmed", "no undo could be armed"
    ARMED = "armed", "armed"  # the deadline was moved
    ENDED = "fired", "too late: the change was confirmed or reverted before"
    KEPT = "kept", "somebody has confirmed it meanwhile: `fab rollback --last` takes it back"
    UNPERSISTED = "unpersisted", "kept, but its files could not be changed"
    NO_ANSWER = "no answer", "no answer"  # scripts print words without blanks

    def __new__(cls, word: str, text: str) -> "ScriptState":
        """A state whose value is the word."""
        state = object.__new__(cls)
        state._value_ = word
        state.text = text
        return state


@dataclass(frozen=True)
class Outcome:
    """The outcome of a change on one machine, as its script reports it."""

    state: ScriptState
    line: str = ""  # the command that failed
    words: str = ""  # an error of ip, who holds the lock, or why there is no answer
    routes: tuple[Route, ...] = ()  # at the prefixes of the change, afterwards
    ways: tuple[tuple[Address, Address | None], ...] = ()  # addresses, each with its next hop

    @property
    def failure(self) -> str:
        """The command that failed, and the words of the machine."""
        return ": ".join(filter(None, (self.line, self.words)))

    @property
    def why(self) -> str:
        """The text of the state, and the failure."""
        return ": ".join(filter(None, (self.state.text, self.failure)))


def outcome_of(answer: str | MachineError, steps: Steps = NO_STEPS) -> Outcome:
    """The outcome in an answer; NO_ANSWER with the reason if it cannot be read."""
    try:
        return read_outcome(said(answer), steps)
    except (MachineError, ValueError) as error:
        return Outcome(ScriptState.NO_ANSWER, words=str(error))


def read_outcome(answer: str, steps: Steps) -> Outcome:
    """The outcome that a script printed. Raises ValueError if it cannot be read."""
    found = sections(answer)
    for state in ScriptState:
        if (state.value, "") in found:
            words = shown(" ".join(found[state.value, ""]), most=MAX_CHARS)
            break
    else:
        raise ValueError("the answer breaks off")
    failed = re.search(r" ?Command failed -:([0-9]{1,9})", words)
    number = int(failed[1]) if failed else 0
    line = f"ip {steps.do[number - 1]}" if 0 < number <= len(steps.do) else ""
    return Outcome(
        state,
        line,
        words.replace(failed[0], "") if failed else words,
        tuple(parse_all(found.get(("route", ""), []), 4)),  # 4 matters for `default` only
        tuple(map(_way, found.get(("get", ""), []))),
    )


def _way(line: str) -> tuple[Address, Address | None]:
    """The address and its next hop, from a line that `ip route get` printed.

    The line is like "10.200.1.1 via 10.240.0.7 dev enp6s0 src ...".
    """
    route = parse(line.partition(" src ")[0], 4)  # what follows would spoil the cache of parse()
    return route.prefix.network_address, route.next_hop
