"""The history of runs that each machine keeps."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.common.script import script
from tasks.common.text import MAX_LINES, listed
from tasks.common.values import shown
from tasks.facts.run_order import Row
from tasks.facts.survey import cannot_ask, tell_skipped
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
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
        """All fields but the time. They are equal on machines where the run ended alike."""
        return self.run, self.who, self.what, self.ending


_QUESTION = script("rollout/history.sh", log=LOG)


def _entries(answer: str) -> list[Entry]:
    """The entries of a history: a line of tab-separated fields for each. Skips other lines."""
    fields = [list(map(shown, line.split("\t"))) for line in answer.split("\n")]
    return [Entry(*field) for field in fields if len(field) == 5 and is_run(field[1])]


@dataclass(frozen=True)
class Histories:
    """The histories of the machines, and why other machines could not be asked."""

    entries: Mapping[str, list[Entry]]
    skipped: Mapping[str, str]


def histories(fleet: Fleet, skip_unreachable: bool) -> Histories:
    """The histories of all machines. Raises Stop if a machine cannot be asked.

    With `skip_unreachable` it raises Stop only if no machine can be asked.
    """
    answers = _ask(fleet)
    troubles = {name: str(a) for name, a in answers.items() if isinstance(a, MachineError)}
    if troubles and not (skip_unreachable and len(troubles) < len(answers)):
        raise cannot_ask(troubles, len(answers))
    tell_skipped(troubles)
    return Histories(_read(answers), troubles)


def _ask(fleet: Fleet) -> dict[str, str | MachineError]:
    return fleet.ask({machine.name: _QUESTION for machine in fleet.cluster.machines})


def _read(answers: Mapping[str, str | MachineError]) -> dict[str, list[Entry]]:
    return {name: _entries(a) for name, a in answers.items() if isinstance(a, str)}


def ending_of_the_last(fleet: Fleet) -> str:
    """How the last run on each machine ended; machines where it ended alike share a line."""
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
    more = ["`fab history` shows all"] if len(lines) > MAX_LINES else []
    return "\n".join([*lines[:MAX_LINES], *more])
