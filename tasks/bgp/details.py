"""What BIRD says in detail where sessions or prefixes are missing. The answer is not trusted."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tasks.common import values
from tasks.common.values import Address, Network

from .bird import SessionState, read_sessions

MAX_ROUTES = 1 << 16  # prefixes that are read
MAX_NAMES = 64  # that are read of one prefix

# "    Local AS:         64512", "    Import limit:   1 [HIT]"
_DETAIL = re.compile(r" +(Neighbor AS|Local AS|Import limit): +([0-9]{1,10})( \[HIT\])?")
# "      Import updates:              3          0          1          0          2"
_IMPORTS = re.compile(r" +Import updates: +[0-9]+ +[0-9]+ +([0-9]{1,9}) .*")
_HEAD = re.compile(r"(\S+) +BGP .*")
# "10.200.1.0/24        unicast [10.240.0.7 10:10:46.255] * (100) [i]"; no prefix: the one above
_ROUTE = re.compile(r"(\S*) +[a-z]+ \[(\S+) .*")


@dataclass(frozen=True)
class SessionDetails:
    """A session of BIRD in detail."""

    local_as: int = 0
    remote_as: int = 0
    limit: int = 0  # of the prefixes that it imports; 0: none
    blocked: bool = False  # whether the limit was reached
    filtered: int = 0  # how often it refused a prefix of its neighbor


@dataclass(frozen=True)
class BirdDetails:
    """This tool's BIRD on a machine in detail."""

    refuses: str = ""  # why BIRD refuses its configuration
    hangs: str = ""  # the number of its process, where that does not answer
    router_id: str = ""
    states: tuple[SessionState, ...] = ()
    sessions: Mapping[Address, SessionDetails] = field(default_factory=dict)
    # By prefix, the names in BIRD of those who announce it: the machine itself, or sessions.
    routes: Mapping[Network, tuple[str, ...]] = field(default_factory=dict)


NO_DETAILS = BirdDetails()


def read_details(found: Mapping[str, Sequence[str]]) -> BirdDetails:
    """Read the sections that details.sh prints. Lines that mean nothing are ignored."""
    status = " ".join(found.get("status", ()))
    router_id = re.search(r"Router ID is ([0-9.]{7,15})", status)
    protocols = found.get("protocols all", ())
    return BirdDetails(
        values.shown("".join(found.get("refuses", ())).removeprefix("bird: ")),
        next(filter(str.isascii, filter(str.isdigit, found.get("hangs", ()))), "")[:10],
        router_id[1] if router_id else "",
        read_sessions(protocols),
        dict(_sessions(protocols)),
        _routes(found.get("route", ())),
    )


def _sessions(lines: Iterable[str]) -> Iterator[tuple[Address, SessionDetails]]:
    remote: Address | None = None
    details = SessionDetails()
    for line in (*lines, "end"):
        if line and not line.startswith(" "):
            if remote is not None:
                yield remote, details
            remote, details = None, SessionDetails()
            if head := _HEAD.fullmatch(line.strip()):
                with suppress(ValueError):
                    remote = values.address(head[1])
        elif match := _DETAIL.fullmatch(line.rstrip()):
            number = int(match[2])
            match match[1]:
                case "Local AS":
                    details = replace(details, local_as=number)
                case "Neighbor AS":
                    details = replace(details, remote_as=number)
                case _:
                    details = replace(details, limit=number, blocked=bool(match[3]))
        elif match := _IMPORTS.fullmatch(line.rstrip()):
            details = replace(details, filtered=int(match[1]))


def _routes(lines: Iterable[str]) -> dict[Network, tuple[str, ...]]:
    found: dict[Network, tuple[str, ...]] = {}
    prefix: Network | None = None
    for line in lines:
        match = _ROUTE.fullmatch(line.rstrip())
        if match is None or len(found) >= MAX_ROUTES:
            continue
        with suppress(ValueError):
            prefix = values.network(match[1]) if match[1] else prefix
        if prefix is not None and len(found.get(prefix, ())) < MAX_NAMES:
            found[prefix] = (*found.get(prefix, ()), values.shown(match[2]))
    return found
