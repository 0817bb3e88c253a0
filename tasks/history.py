"""The trail of runs that each machine keeps, and the state of what waits."""

from collections.abc import Mapping
from dataclasses import dataclass

from .facts import LOG, Facts
from .fleet import Fleet
from .shell import Trouble
from .survey import cannot_ask, tell_skipped
from .tables import counted, table
from .words import listed


@dataclass(frozen=True)
class Entry:
    """One run on one machine."""

    time: str  # UTC, ISO 8601
    run: str
    who: str
    what: str
    ending: str


_QUESTION = f"main() {{ tail -n 500 {LOG}/history 2>/dev/null; }}"


def _entries(answer: str) -> list[Entry]:
    """A machine's history: a line a run, its fields separated by tabs."""
    fields = [line.split("\t") for line in answer.splitlines()]
    return [Entry(*field) for field in fields if len(field) == 5]


@dataclass(frozen=True)
class Histories:
    """What machines keep of their runs, and who was not to be asked."""

    entries: Mapping[str, list[Entry]]
    skipped: Mapping[str, str]


def histories(fleet: Fleet, skip_unreachable: bool) -> Histories:
    """Ask all machines; raises Stop where one cannot be asked, unless `skip_unreachable`."""
    answers = _ask(fleet)
    troubles = {name: str(a) for name, a in answers.items() if isinstance(a, Trouble)}
    if troubles and not (skip_unreachable and len(troubles) < len(answers)):
        raise cannot_ask(troubles, len(answers))
    tell_skipped(troubles)
    return Histories(_read(answers), troubles)


def _ask(fleet: Fleet) -> dict[str, str | Trouble]:
    return fleet.ask({machine.name: _QUESTION for machine in fleet.cluster.machines})


def _read(answers: Mapping[str, str | Trouble]) -> dict[str, list[Entry]]:
    return {name: _entries(a) for name, a in answers.items() if isinstance(a, str)}


def ending_of_the_last(fleet: Fleet) -> str:
    """How the last run ended, in one line; machines that fared alike together."""
    every = {name: entries for name, entries in _read(_ask(fleet)).items() if entries}
    if not every:
        return "no run has changed anything yet"
    last = max((e for entries in every.values() for e in entries), key=lambda e: (e.run, e.time))
    ends: dict[str, list[str]] = {}
    for name, entries in every.items():
        if entries[-1].run == last.run:
            ends.setdefault(entries[-1].ending, []).append(name)
    how = "; ".join(f"{ending} on {listed(names)}" for ending, names in sorted(ends.items()))
    return f"the last change, of {last.who}, ended at {last.time}: {how}"


def history_report(found: Mapping[str, list[Entry]], number: int) -> str:
    """The last runs as one table for the cluster: machines that fared alike share a row."""
    rows: dict[tuple[str, str, str, str], list[tuple[str, str]]] = {}
    for name, entries in found.items():
        for e in entries:
            rows.setdefault((e.run, e.who, e.what, e.ending), []).append((e.time, name))
    if not rows:
        return "no run has changed anything yet"
    shown = sorted(rows.items())[-number:]
    return table(
        ["ended (UTC)", "who", "what", "ended", "on"],
        [
            [max(time for time, _ in where), who, what, ending, listed(n for _, n in where)]
            for (_, who, what, ending), where in shown
        ],
    )


def status_report(facts: Mapping[str, Facts]) -> str:
    """Per machine what is owned, and what waits."""
    rows = []
    for name, found in facts.items():
        waits = "-"
        if found.pending is not None:
            waits = f"{found.pending.what}, until {found.pending.until}"
            if found.pending.failed:
                waits = f"{found.pending.what}, which could not be taken back"
        kept = sum(len(d.routes) for d in found.displaced)
        rows.append([name, len(found.owned), kept, waits])
    waiting = sum(found.pending is not None for found in facts.values())
    owned = sum(len(found.owned) for found in facts.values())
    line = f"{counted(len(facts), 'machine')}: {owned} routes of ours"
    more = f", {waiting} to be confirmed" if waiting else ", nothing waits for confirmation"
    headers = ["machine", "owned", "displaced", "waits for confirmation"]
    return f"{table(headers, rows)}\n\n{line}{more}"
