"""The trail of runs: each machine's own, next to those of the others."""

from tasks.reports.status import history_report
from tasks.rollout.history import Entry, ending_of_the_last, histories
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tests.builders import cluster


class Remembering(Fleet):
    """No machine: each answers what it is given."""

    def __init__(self, *answers: str | MachineError) -> None:
        self.cluster = cluster(len(answers))
        self._answers = answers

    def ask(
        self, scripts: object, doing: str = "", timeout: int = 0
    ) -> dict[str, str | MachineError]:
        return {f"worker-{n}": answer for n, answer in enumerate(self._answers)}


def line(run: str, what: str, ending: str = "kept", who: str = "ann@desk") -> str:
    return f"2026-01-01T00:00:00Z\t{run}\t{who}\t{what}\t{ending}\n"


FIRST, SECOND = "20260101T130000.1", "20260101T120000.1"  # by a clock that was ahead
LIES = "".join(line(f"99991231T235959.{n}", f"{n} lie") for n in range(600))


def told(*answers: str, number: int = 20) -> str:
    return history_report(histories(Remembering(*answers), False).entries, number)


def test_the_order_is_that_of_the_machines() -> None:
    report = told(line(FIRST, "1 add"), line(FIRST, "2 add") + line(SECOND, "3 add"))
    assert [report.index(f"{n} add") for n in (1, 2, 3)] == sorted(
        report.index(f"{n} add") for n in (1, 2, 3)
    )


def test_what_one_machine_remembers_hides_nothing_of_the_others() -> None:
    report = told(LIES, line(FIRST, "2 add") + line(SECOND, "3 add"))
    assert report.index("2 add") < report.index("3 add")
    assert report.count("lie") == 20
    assert "3 add" in told(LIES, line(FIRST, "2 add") + line(SECOND, "3 add"), number=1)


def test_one_run_that_ended_in_many_ways_hides_nothing_of_the_others() -> None:
    lies = "".join(line(FIRST, f"{n} lie") for n in range(600))
    report = told(lies, line(FIRST, "2 add"))
    assert "2 add" in report
    assert report.count("lie") == 5
    assert "599 lie" in report


def test_a_machine_stands_beside_its_run_however_much_it_has_done_since() -> None:
    report = told(line(FIRST, "2 add") + LIES, line(FIRST, "2 add"))
    (row,) = (row for row in report.splitlines() if "2 add" in row)
    assert row.endswith("worker-0, worker-1")


def test_what_is_no_entry_is_passed_over_and_the_rest_can_be_printed() -> None:
    torn = line("the run", "4 add") + "2026\t20260101T1\n" + line(FIRST, "5 add").replace("\t", " ")
    whole = line(FIRST, "2 add\x1b[2J" + "x" * 9999, ending="kept\u2028\x85")
    (entries,) = histories(Remembering(torn + whole), False).entries.values()
    (entry,) = entries
    assert isinstance(entry, Entry)
    assert all(text.isprintable() and len(text) <= 200 for text in (entry.time, *entry.row))
    assert "add" not in told(torn)


def test_how_the_last_run_ended_is_told_of_each_machine() -> None:
    kept, undone = line(SECOND, "1 add"), line(SECOND, "1 add", "undone: not confirmed")
    said = ending_of_the_last(Remembering(LIES, kept, undone, kept))
    assert "on worker-1, worker-3, of ann@desk, ended at 2026-01-01T00:00:00Z: kept" in said
    assert "on worker-2, of ann@desk, ended at 2026-01-01T00:00:00Z: undone: not conf" in said
    assert "no run" in ending_of_the_last(Remembering("", MachineError("gone"), "nonsense"))
