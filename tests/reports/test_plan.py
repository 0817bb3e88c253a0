import json

import pytest

from tasks.common.text import table
from tasks.planning.model import Allowed, Plan
from tasks.planning.reconcile import plan_routes
from tasks.reports.plan import dry_run_report, plan_report
from tasks.reports.plan_json import plan_json
from tests.builders import DEV, cluster, facts, node, pods, wanted

ALL = Allowed(replace=True, prune=True)
FOREIGN = f"{pods(1)} via {node(9)} dev {DEV} proto static"
STALE = f"{pods(7)} via {node(7)} dev {DEV} proto 214"


def planned(workers: int, *lines: str, allowed: Allowed = ALL) -> Plan:
    """A plan of which the first worker has these routes, and the others none."""
    of = cluster(workers)
    asked = {m.name: facts(i, *(lines if i == 0 else ())) for i, m in enumerate(of.machines)}
    return plan_routes(of, asked, allowed)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_table_has_words_to_the_left_and_numbers_to_the_right() -> None:
    assert table(["name", "count"], [["a", 1], ["bcdef", 100]]).splitlines() == [
        "name      count",
        "------  -------",
        "a             1",
        "bcdef       100",
    ]


def test_a_plan_lists_every_change_within_80_columns_and_ends_in_totals() -> None:
    report = plan_report(planned(3, FOREIGN, STALE))
    lines = report.splitlines()
    assert max(map(len, lines)) <= 80
    listed = [line.split() for line in lines]
    assert ["worker-0", "replace", pods(1), "via", node(1), "dev", DEV] in listed
    assert ["worker-0", "delete", pods(7), "via", node(7), "dev", DEV] in listed
    assert ["worker-2", "add", pods(0), "via", node(0), "dev", DEV] in listed
    assert lines[-1] == "3 machines: 5 to add, 1 to replace, 1 to delete, 0 in sync, 0 conflicts"


def test_a_replaced_route_is_shown_with_who_put_it_there_once() -> None:
    (line,) = [line for line in plan_report(planned(2, FOREIGN)).splitlines() if "instead" in line]
    assert line.split("instead of")[1].split() == FOREIGN.split()


def test_a_conflict_is_shown_with_who_put_it_there_once_and_what_to_do() -> None:
    report = plan_report(planned(2, FOREIGN, STALE, allowed=Allowed()))
    shown = report.replace("\n  ", " ").splitlines()
    (line,) = [line for line in shown if "conflict at" in line]
    assert "worker-0" in line
    assert max(map(len, report.splitlines())) <= 80
    assert line.count("static") == 1
    assert "--replace" in report
    assert "--prune" in report
    assert report.splitlines()[-1].endswith("0 in sync, 1 conflict")


def test_many_adds_are_counted_and_what_takes_away_is_listed() -> None:
    lines = plan_report(planned(8, FOREIGN)).splitlines()
    assert not [line for line in lines if line.startswith("worker") and " add " in line]
    assert [line for line in lines if line.startswith("worker-0") and " replace " in line]
    assert [line for line in lines if "55 changes not listed" in line]
    assert lines[-1].startswith("8 machines: 55 to add, 1 to replace,")


def test_of_many_machines_those_with_nothing_to_do_are_counted() -> None:
    of = cluster(50)
    asked = {
        m.name: facts(i, *(wanted(j) for j in range(50) if j not in (i, 49 if i == 0 else i)))
        for i, m in enumerate(of.machines)
    }
    lines = plan_report(plan_routes(of, asked, Allowed())).splitlines()
    assert [line.split() for line in lines if line.startswith("worker")] == [
        ["worker-0", "1", "0", "0", "48", "0"],
        ["worker-0", "add", pods(49), "via", node(49), "dev", DEV],
    ]
    assert [line for line in lines if "49 other machines with nothing to do" in line]


def test_a_plan_for_programs_says_what_the_tables_say() -> None:
    of = cluster(2)
    document = json.loads(plan_json(planned(2, FOREIGN, STALE), of))
    assert document["totals"] == {"add": 1, "replace": 1, "delete": 1, "right": 0, "in_the_way": 0}
    first = document["machines"][0]
    assert [(c["change"], c["prefix"]) for c in first["changes"]] == [
        ("replace", pods(1)),
        ("delete", pods(7)),
    ]
    assert first["changes"][0]["put"]["hops"] == [{"via": node(1), "dev": DEV}]
    assert first["changes"][0]["take"][0]["protocol"] == "static"
    assert first["changes"][1]["put"] is None


def test_a_dry_run_prints_the_very_lines() -> None:
    lines = dry_run_report(planned(2, FOREIGN)).splitlines()
    assert f"ip route replace {wanted(1)}" in lines
    assert f"ip route add {wanted(0)}" in lines
    assert [line for line in lines if "route save" in line and "proto 4" in line]
    assert lines.index("# worker-0") < lines.index("# worker-1")


def test_many_conflicts_of_one_machine_take_a_few_lines_and_listed_for_programs() -> None:
    inside = [f"10.200.1.{n} via {node(9)} dev {DEV} proto static metric {n}" for n in range(200)]
    stale = [f"10.200.77.{n} via {node(9)} dev {DEV} proto 214" for n in range(50)]
    plan = planned(2, *inside, *stale, allowed=Allowed())
    report = plan_report(plan).replace("\n  ", " ")
    assert [line for line in report.splitlines() if "worker-0:" in line] == [
        f"worker-0: conflict at {pods(1)}: 200 conflicts, the first:"
        f" 10.200.1.0/32 via {node(9)} dev {DEV} proto static;"
        " --replace removes it, and rollback puts it back",
        f"worker-0: stale: 50 routes: 10.200.77.0/32 via {node(9)} dev {DEV}, …:"
        " no worker in hosts.toml has this pod CIDR; --prune deletes it",
    ]
    assert plan_report(plan).splitlines()[-1].endswith("200 conflicts")
    document = json.loads(plan_json(plan, cluster(2)))
    assert len(document["machines"][0]["in_the_way"]) == 200
    assert len(document["machines"][0]["left"]) == 50


def test_what_is_mended_in_many_ways_is_counted_past_what_a_screen_holds() -> None:
    inside = [f"10.200.1.{n} dev eth{n} proto kernel" for n in range(200)]
    lines = plan_report(planned(2, *inside, allowed=Allowed())).splitlines()
    assert "worker-0: and 160 more: `fab plan --format json` lists them" in lines
    assert len(lines) < 100


def test_a_route_instead_of_very_many_names_the_first_of_them() -> None:
    inside = [f"10.200.1.{n} via {node(9)} dev {DEV} proto static" for n in range(200)]
    lines = plan_report(planned(2, *inside)).splitlines()
    assert sum("instead of" in line for line in lines) == 41
    assert [line for line in lines if line.endswith("and 160 more")]
