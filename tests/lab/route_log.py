"""The log of `ip monitor route` on each machine, and whether a prefix was ever without a route."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from .conftest import Lab
from .kit import on, running

BEGIN, END = "192.0.2.1", "192.0.2.2"  # routes that mark where the log begins and ends
MARK = "ip route add {0} dev lo && ip route del {0} dev lo"

_TABLE = re.compile(r" table (\S+)")
_METRIC = re.compile(r" metric (\d+)")


@dataclass
class RouteLog:
    """What the machines' logs say, once they have ended."""

    events: int = 0  # lines about the prefixes
    without: dict[str, list[str]] = field(default_factory=dict)  # prefixes, by machine


def without_route(
    before: Iterable[str], events: Iterable[str], prefixes: Collection[str]
) -> list[str]:
    """The prefixes that had a route, and at some moment of the log had none.

    `before`: the routes of `ip -oneline route show` as the log begins; `events`: lines of `ip
    -oneline monitor route`. A route that replaces one of its table and metric counts once.
    """
    there: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    lost = []
    for line in before:
        if line.split()[:1] and line.split()[0] in prefixes:
            there[line.split()[0]].add(_key(line))
    for event in events:
        gone = event.startswith("Deleted ")
        line = event.removeprefix("Deleted ")
        prefix = line.partition(" ")[0]
        if prefix not in prefixes:
            continue
        had = bool(there[prefix])
        if gone:
            there[prefix].discard(_key(line))
        else:
            there[prefix].add(_key(line))
        if had and not there[prefix]:
            lost.append(prefix)
    return lost


def _key(line: str) -> tuple[str, ...]:
    return tuple(found[1] if (found := part.search(line)) else "" for part in (_TABLE, _METRIC))


@contextmanager
def logged(lab: Lab, prefixes: Collection[str]) -> Iterator[RouteLog]:
    """The logs of all machines while the block runs: of prefixes that have a route all the time."""
    log = RouteLog()
    names = [machine.name for machine in lab.cluster.machines]
    with TemporaryDirectory() as directory, ExitStack() as stack:
        files = {name: Path(directory, name) for name in names}
        for name, file in files.items():
            monitor = [*lab.twin.inside(name), "ip", "-oneline", "monitor", "route"]
            output = stack.enter_context(file.open("w"))
            stack.enter_context(running(monitor, output))
        for name, file in files.items():
            _until(file, BEGIN, partial(on, lab, name, MARK.format(BEGIN)))
        before = {name: _routes(lab, name) for name in names}
        yield log
        for name, file in files.items():
            on(lab, name, MARK.format(END))
            _until(file, f"Deleted {END}", partial(time.sleep, 0.01))
        for name in names:
            events = files[name].read_text().splitlines()
            log.events += sum(any(f"{p} " in event for p in prefixes) for event in events)
            if lost := without_route(before[name], events, prefixes):
                log.without[name] = lost


def _until(file: Path, words: str, again: Callable[[], object]) -> None:
    """Wait until a log says something."""
    deadline = time.monotonic() + 30
    while words not in file.read_text()[-4000:]:
        assert time.monotonic() < deadline, f"{file.name} logs nothing"
        again()


def _routes(lab: Lab, name: str) -> list[str]:
    show = "ip -4 -oneline route show table main; ip -6 -oneline route show table main"
    return on(lab, name, show).splitlines()
