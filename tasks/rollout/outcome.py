"""What a machine says came of a change: what its scripts print, read."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from tasks.common.values import Address, shown
from tasks.iproute.route import Route, parse, parse_all
from tasks.ssh.answer import sections

from .steps import Steps

End = Literal[
    "done", "undone", "broken", "locked", "pending", "changed", "unarmed", "armed", "fired", "kept",
    "unpersisted",
]  # fmt: skip
MAX_WORDS = 1000  # characters of what a machine says of an end
ENDS: tuple[End, ...] = get_args(End)


@dataclass(frozen=True)
class Outcome:
    """How a machine ended, as it reports itself.

    done: carried out, and armed; or as before, where that was asked. undone: a line failed, and
    all is as before. broken: the table is not as before. locked, pending, changed, unarmed:
    nothing was done, since another run is at work, waits for confirmation, the table is no longer
    the one planned on, or no undo could be armed. armed: the deadline was pushed. kept:
    confirmed, perhaps by somebody else. unpersisted: confirmed, but the files could not be put in
    place. fired: there is nothing to confirm any more.
    """

    state: End
    line: str = ""  # the line that failed
    words: str = ""  # the kernel's own words, or who holds the machine
    routes: tuple[Route, ...] = ()  # those at the prefixes of the change, afterwards
    ways: tuple[tuple[Address, Address | None], ...] = ()  # an address, and its next hop


def read_outcome(answer: str, steps: Steps) -> Outcome:
    """Read what one of these scripts printed; raises ValueError where it is none of theirs."""
    found = sections(answer)
    for state in ENDS:
        if (state, "") in found:
            said = shown(" ".join(found[state, ""]), most=MAX_WORDS)
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
    """One line of `ip route get`: "10.200.1.1 via 10.240.0.7 dev enp6s0 src ..."."""
    route = parse(line.partition(" src ")[0], 4)  # up to there it is the same on other machines
    return route.prefix.network_address, route.next_hop
