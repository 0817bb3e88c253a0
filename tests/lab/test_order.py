"""The order of runs on a twin: what machines say of it, with clocks and claims that differ."""

from pathlib import Path

import pytest

from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on

LAST = "/run/pod-routes/last"
RUNS = "/var/lib/pod-routes/runs"
LIE = "99991231T235959.1"

AHEAD = """import datetime
class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(hours=1)
datetime.datetime = Ahead
"""


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(tutorial())


@pytest.fixture
def ahead(tmp_path: Path) -> str:
    """A PYTHONPATH with which an operator's clock is an hour ahead."""
    (tmp_path / "sitecustomize.py").write_text(AHEAD)
    return str(tmp_path)


def by_hand(lab: Lab, via: str) -> None:
    """Another hand's route on worker-1, in the place of ours."""
    on(lab, "worker-1", f"ip route replace 10.200.0.0/24 via {via} proto static")
    on(lab, "worker-1", "ip route del 10.200.0.0/24 proto 214 2>/dev/null || true")


def test_two_operators_whose_clocks_differ_by_an_hour(lab: Lab, ahead: str) -> None:
    by_hand(lab, "10.240.0.99")
    first = lab.tables()
    ok(lab.fab("apply-routes", "--replace", "--yes", PYTHONPATH=ahead))
    by_hand(lab, "10.240.0.98")
    second = lab.tables()
    ok(lab.fab("apply-routes", "--replace", "--yes"))
    one, other = on(lab, "worker-1", f"cat {RUNS}").splitlines()
    assert one > other
    ok(lab.fab("rollback", "--last", PYTHONPATH=ahead))
    assert lab.tables() == second
    ok(lab.fab("apply-routes", "--replace", "--yes"))
    rows = ok(lab.fab("history")).splitlines()[2:]
    assert [row.split("  ")[0] for row in rows] == sorted(row.split("  ")[0] for row in rows)
    ok(lab.fab("rollback"))
    assert lab.tables() == first


def test_a_claimed_run_is_told_of_and_stops_nobody_for_good(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes"))
    on(lab, "worker-0", f"echo {LIE} >{LAST}/run; echo '== run {LIE}' >>{RUNS}")
    after = lab.tables()
    stopped = lab.fab("rollback", "--last")
    ok(stopped, status=1)
    assert "9999-12-31 23:59:59 UTC is the last one on worker-0" in stopped.stderr
    assert "it also changed worker-1, worker-2, where it is unknown" in stopped.stderr
    assert lab.tables() == after
    ok(lab.fab("rollback", "--last", "--limit", "worker-1"))
    assert lab.tables() == {**after, "worker-1": before["worker-1"]}
    ok(lab.fab("apply-routes"))  # by now the others know that the lie is of the past
    assert LIE in on(lab, "worker-1", f"tail -n 1 {RUNS}")
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == {**after, "worker-1": before["worker-1"]}


def test_runs_of_one_machine_each_have_no_order_until_a_later_one(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--limit", "worker-0"))
    ok(lab.fab("apply-routes", "--limit", "worker-1"))
    two = lab.tables()
    ok(lab.fab("rollback", "--last"), status=1)
    assert lab.tables() == two
    ok(lab.fab("apply-routes"))
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == two
    for name in ("worker-0", "worker-1"):
        ok(lab.fab("rollback", "--last", "--limit", name))
    assert lab.tables() == before


def test_a_machine_that_was_rebooted_knows_of_the_run(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes"))
    on(lab, "worker-1", "rm -r /run/pod-routes; ip route flush proto 214")
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == before


def test_a_full_note_of_runs_is_cut_and_one_that_cannot_be_written_stops_nothing(lab: Lab) -> None:
    many = "i=0; while [ $i -lt 250 ]; do i=$((i+1)); echo == run 20260101T000000.$i; done"
    on(lab, "worker-1", f"mkdir -p /var/lib/pod-routes; ({many}) >{RUNS}")
    on(lab, "worker-2", f"mkdir -p {RUNS}")
    ok(lab.fab("apply-routes"))
    assert on(lab, "worker-1", f"wc -l <{RUNS}; sed -n 1p {RUNS}").split("\n")[:2] == [
        "101",
        "== run 20260101T000000.151",
    ]
    assert "6 deleted" in ok(lab.fab("rollback", "--last"))


def test_a_run_that_waits_under_a_name_that_is_none_is_one_machines_trouble(lab: Lab) -> None:
    ok(lab.fab("apply-routes", "--hold"))
    on(lab, "worker-1", r"printf '\033[2J$(reboot)\n' >/run/pod-routes/pending/run")
    status = lab.fab("status")
    ok(status, status=1)
    assert "worker-1: cannot read the change in /run/pod-routes/pending on it" in status.stderr
    assert "\033" not in status.stderr
    assert "2 to be confirmed" in ok(lab.fab("status", "--skip-unreachable"), status=4)
    ok(lab.fab("rollback", "--last", "--skip-unreachable"), status=4)
