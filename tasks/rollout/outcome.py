"""What a script reports of a change, read without trust."""

import re
from dataclasses import dataclass
from enum import Enum

from tasks.common.values import Address, shown
from tasks.iproute.route import Route, parse, parse_all
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError

from .steps import Steps

MAX_CHARS = 1000  # of what a machine says of an outcome
NO_STEPS = Steps((), ())


class ScriptState(Enum):
    """What came of a change: the word that a script prints, and the text that a user reads."""

    text: str

    DONE = "done", "carried out"  # and armed; or as before, if that was asked for
    UNDONE = "undone", "reverted"  # a line failed, and all is as before
    BROKEN = (
        "broken",
        "its undo does not lead back: has somebody else changed its routes? `fab plan` says more",
    )
    # Nothing was changed in the next four.
    LOCKED = "locked", "another run is at work there"
    PENDING = "pending", "a change waits for confirmation there"
    CHANGED = "changed", "its routes have changed since the plan"
    UNARMED = "unarmed", "no undo could be armed"
    ARMED = "armed", "armed"  # the deadline was pushed
    ENDED = "fired", "too late: the change was confirmed or reverted before"
    KEPT = "kept", "somebody has confirmed it meanwhile: `fab rollback --last` takes it back"
    UNPERSISTED = "unpersisted", "kept, but its files could not be changed"
    NO_ANSWER = "no answer", "no answer"  # no script prints a word with a blank

    def __new__(cls, word: str, text: str) -> "ScriptState":
        """A state whose value is the word."""
        state = object.__new__(cls)
        state._value_ = word
        state.text = text
        return state


@dataclass(frozen=True)
class Outcome:
    """What came of a change on one machine, as its script reports it."""

    state: ScriptState
    line: str = ""  # the command that failed
    words: str = ""  # the kernel's own words, or who holds the machine, or why there is no answer
    routes: tuple[Route, ...] = ()  # at the prefixes of the change, afterwards
    ways: tuple[tuple[Address, Address | None], ...] = ()  # an address, and its next hop

    @property
    def failure(self) -> str:
        """The command that failed, and what the machine said of it."""
        return ": ".join(filter(None, (self.line, self.words)))

    @property
    def why(self) -> str:
        """The state in words, and the failure."""
        return ": ".join(filter(None, (self.state.text, self.failure)))


def outcome_of(answer: str | MachineError, steps: Steps = NO_STEPS) -> Outcome:
    """The outcome that an answer reports; NO_ANSWER, and why, if it reports none."""
    if isinstance(answer, MachineError):
        return Outcome(ScriptState.NO_ANSWER, words=str(answer))
    try:
        return read_outcome(answer, steps)
    except ValueError as error:
        return Outcome(ScriptState.NO_ANSWER, words=str(error))


def read_outcome(answer: str, steps: Steps) -> Outcome:
    """Read what a script printed; raises ValueError if it names no state, or cannot be read."""
    found = sections(answer)
    for state in ScriptState:
        if (state.value, "") in found:
            said = shown(" ".join(found[state.value, ""]), most=MAX_CHARS)
            break
    else:
        raise ValueError("the answer breaks off")
    failed = re.search(r" ?Command failed -:([0-9]{1,9})", said)
    number = int(failed[1]) if failed else 0
    line = f"ip {steps.do[number - 1]}" if 0 < number <= len(steps.do) else ""
    return Outcome(
        state,
        line,
        said.replace(failed[0], "") if failed else said,
        tuple(parse_all(found.get(("route", ""), []), 4)),  # no pod CIDR is called default
        tuple(map(_way, found.get(("get", ""), []))),
    )


def _way(line: str) -> tuple[Address, Address | None]:
    """Where packets to an address go, from a line of `ip route get`.

    The line is like "10.200.1.1 via 10.240.0.7 dev enp6s0 src ...".
    """
    route = parse(line.partition(" src ")[0], 4)  # parse() caches lines; the rest differs
    return route.prefix.network_address, route.next_hop
