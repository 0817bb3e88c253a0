"""What a machine records of changes: displaced routes, the pending change, the last run."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.common.values import name as machine_name
from tasks.common.values import number, shown
from tasks.iproute.names import protocol_name
from tasks.iproute.route import Route, parse, parse_all

from .run import is_run, run_id

STATE = "/run/pod-routes"  # where a machine keeps the lock, the undo and the displaced routes
LOG = "/var/lib/pod-routes"  # where it keeps what is to outlive a reboot
RUNS = 200  # runs whose order a machine keeps
LATEST = 24 * 3600  # seconds; no change waits as long

# The name of a file of displaced routes, as rollout/steps.py makes it; its family comes second.
_DISPLACED = re.compile(r"[0-9T.]+_[46]_[0-9a-f.:-]{2,50}_[!-.0-~]{1,64}")


@dataclass(frozen=True)
class Displaced:
    """Foreign routes that this tool displaced and recorded, of one prefix and protocol."""

    # "RUN FAMILY PREFIX PROTOCOL", joined by underscores, in STATE/displaced. The protocol is a
    # number; earlier versions wrote its name.
    file: str
    routes: tuple[Route, ...]

    @property
    def origin(self) -> tuple[str, str, str]:
        """Family, prefix and protocol: equal for the records of the same routes by any version."""
        _run, family, prefix, protocol = self.file.split("_", 3)
        return family, prefix, protocol_name(protocol)

    @property
    def run(self) -> str:
        """The run that took them away."""
        return self.file.partition("_")[0]


@dataclass(frozen=True)
class Pending:
    """A change that waits for confirmation."""

    run: str
    who: str
    since: str  # HH:MM:SS by the clock of its operator
    what: str
    seconds: int  # until it reverts; negative once it is overdue
    machines: tuple[str, ...] = ()  # all that its run changes
    failed: bool = False  # its undo did not lead back, or is at work

    @property
    def until(self) -> str:
        """When it reverts, as HH:MM:SS by the operator's clock."""
        return (datetime.now() + timedelta(seconds=self.seconds)).strftime("%H:%M:%S")


@dataclass(frozen=True)
class Last:
    """What the last confirmed run changed: the routes it added, and our routes it removed."""

    run: str
    puts: tuple[Route, ...] = ()
    takes: tuple[Route, ...] = ()
    machines: tuple[str, ...] = ()  # all that the run changed


def is_displaced(file: str) -> bool:
    """Whether a file of STATE/displaced is one of this tool's."""
    return bool(_DISPLACED.fullmatch(file)) and is_run(file.partition("_")[0])


def read_displaced(file: str, lines: list[str]) -> Displaced:
    """The routes in a file of those taken away: its lines hold all of the same prefix."""
    family, _prefix, protocol = Displaced(file, ()).origin
    found = parse_all(lines, 6 if family == "6" else 4)
    return Displaced(file, tuple(r for r in found if r.table == "main" and r.protocol == protocol))


def read_pending(lines: list[str]) -> Pending | None:
    """The change that waits, as gather.sh shows it; raises ValueError where it cannot be read."""
    if len(lines) < 2:
        return None  # it ended while it was asked for
    times, run, since, who, what, machines, *_ = [*lines, "", "", "", ""]
    place, _, seconds = times.partition(" ")
    try:
        return Pending(
            run_id(run),
            shown(who),
            shown(since),
            shown(what),
            number(seconds, -(1 << 31), LATEST),
            tuple(map(machine_name, machines.split())),
            failed=place == "undoing",
        )
    except ValueError as error:
        file = "undoing" if place == "undoing" else "pending"
        raise ValueError(f"cannot read the change in {STATE}/{file} on it: {error}") from None


def read_last(lines: list[str]) -> Last | None:
    """What `last_lines` wrote, after its run and the machines of it; none where it is no such."""
    if not lines:
        return None
    run, machines, *rest = [*lines, ""]
    try:
        routes = [
            (kind, parse(text, 6 if ":" in text.partition(" ")[0] else 4))
            for kind, _, text in (line.partition(" ") for line in rest if line)
        ]
        return Last(
            run_id(run),
            tuple(route for kind, route in routes if kind == "put"),
            tuple(route for kind, route in routes if kind == "took"),
            tuple(map(machine_name, machines.split())),
        )
    except ValueError:
        return None


def last_lines(puts: Iterable[Route], takes: Iterable[Route]) -> list[str]:
    """The record of a run for `rollback --last`: one line for each route."""
    return [*(f"put {r.words}" for r in puts), *(f"took {r.words}" for r in takes)]
