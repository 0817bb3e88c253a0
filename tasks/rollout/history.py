"""The trail of runs that each machine keeps, and the state of what waits."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.common.script import script
from tasks.common.text import listed
from tasks.common.values import shown
from tasks.facts.model import Facts
from tasks.facts.run_order import Row, merged
from tasks.facts.survey import cannot_ask, tell_skipped
from tasks.reports.plan import FEW, counted, table
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import Trouble
from tasks.undo.records import LOG
from tasks.undo.run import is_run


@dataclass(frozen=True)
class Entry:
    """One run on one machine."""

    time: str  # UTC, ISO 8601
    run: str
    who: str
    what: str
    ending: str

    @property
    def row(self) -> Row:
        """What is the same on all machines that fared alike."""
        return self.run, self.who, self.what, self.ending


_QUESTION = script("rollout/history.sh", log=LOG)


def _entries(answer: str) -> list[Entry]:
    """A machine's history: a line a run, its fields separated by tabs. What is none is left out."""
    fields = [list(map(shown, line.split("\t"))) for line in answer.split("\n")]
    return [Entry(*field) for field in fields if len(field) == 5 and is_run(field[1])]


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
    """How the last run on each machine ended; machines that fared alike share a line."""
    lasts = {name: entries[-1] for name, entries in _read(_ask(fleet)).items() if entries}
    where: dict[Row, list[str]] = {}
    for name, entry in lasts.items():
        where.setdefault(entry.row, []).append(name)
    if not where:
        return "no run has changed anything yet"
    lines = [
        f"the last change on {listed(names)}, of {lasts[names[0]].who}, ended at"
        f" {lasts[names[0]].time}: {lasts[names[0]].ending}"
        for names in where.values()
    ]
    more = ["`fab history` shows all"] if len(lines) > FEW else []
    return "\n".join([*lines[:FEW], *more])


def history_report(found: Mapping[str, list[Entry]], number: int) -> str:
    """The last runs of each machine as one table: machines that fared alike share a row."""
    chosen: set[str] = set()
    where: dict[Row, list[tuple[str, str]]] = {}
    rows: dict[str, dict[str, list[Row]]] = {}  # of each run, by machine
    for name, entries in found.items():
        chosen.update(list(dict.fromkeys(e.run for e in reversed(entries)))[:number])
        for e in entries:
            where.setdefault(e.row, []).append((e.time, name))
            rows.setdefault(e.run, {}).setdefault(name, []).append(e.row)
    if not where:
        return "no run has changed anything yet"
    runs = merged([(e.run,) for e in es if e.run in chosen] for es in found.values())
    return table(
        ["ended (UTC)", "who", "what", "ended", "on"],
        [
            [max(time for time, _ in where[row]), *row[1:], listed(n for _, n in where[row])]
            for (run,) in runs
            for row in merged(rows[run].values())
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
