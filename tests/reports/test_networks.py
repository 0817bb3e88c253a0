"""How a provider's table is shown: in the plan, after a run, and in the status."""

import json
from dataclasses import replace

from tasks.planning.model import Allowed, Plan
from tasks.planning.provider_table import plan_table
from tasks.planning.reconcile import plan_routes
from tasks.reports.plan import dry_run_report, plan_report
from tasks.reports.plan_json import plan_json
from tasks.reports.rollout import rollout_report
from tasks.reports.status import network_report
from tasks.rollout.result import MachineResult, MachineState, Rollout
from tests.builders import cluster, facts
from tests.networks.builders import NAME, state, table

ZERO, TO_ZERO = "10.200.0.0/24 via 10.240.0.6", "10.200.1.0/24 via 10.240.0.6"
OLD = "10.200.7.0/24 via 10.240.0.99"
NOW = state(table(ZERO, TO_ZERO, OLD), unfinished=(ZERO,))


def planned(allowed: Allowed) -> Plan:
    asked = {f"worker-{n}": facts(n) for n in range(2)}
    machines = plan_routes(cluster(2), asked, allowed, table=NOW.table)
    return replace(machines, network=plan_table(cluster(2), NOW, allowed))


def test_the_table_has_a_row_and_lines_of_its_own() -> None:
    report = plan_report(planned(Allowed()))
    row = report.splitlines()[2].split()
    assert row == ["kubernetes", "(hetzner)", "0", "0", "0", "1", "1"]
    words = " ".join(report.split())
    assert f"{NAME}: conflict at 10.200.1.0/24: {TO_ZERO}, which is worker-0" in words
    assert "1 route added by a run that has not ended: `fab rollback` deletes them" in words
    assert f"{NAME}: stale: {OLD}: it leads to no server; --prune deletes it" in words
    totals = "2 to add, 0 to replace, 0 to delete, 1 in sync, 1 conflict"
    assert report.endswith(f"1 network, 2 machines: {totals}")
    assert all(len(line) <= 80 for line in report.splitlines()[:-1])


def test_an_exchange_is_named_with_its_gap() -> None:
    plan = planned(Allowed(replace=True))
    report = " ".join(plan_report(plan).split())
    assert f"replace 10.200.1.0/24 via 10.240.0.7 instead of {TO_ZERO}" in report
    assert "10.200.1.0/24 has no route for a moment" in report
    dry = dry_run_report(plan)
    assert dry.startswith(
        f"# {NAME}, by its API\n#   replace 10.200.1.0/24 via 10.240.0.7 instead of {TO_ZERO}\n"
    )
    network = json.loads(plan_json(plan, cluster(2)))["network"]
    assert network["name"] == NAME
    assert network["changes"] == [
        {"change": "replace", "put": "10.200.1.0/24 via 10.240.0.7", "take": [TO_ZERO]}
    ]
    assert network["unfinished"] == [ZERO]


def test_a_plan_without_a_network_has_none() -> None:
    plan = replace(planned(Allowed()), network=None)
    assert NAME not in plan_report(plan)
    assert "network" not in json.loads(plan_json(plan, cluster(2)))


def ended(*states: MachineState) -> str:
    """The last line of a run that ended so, the table first."""
    plan = planned(Allowed(replace=True))
    names = (NAME, "worker-0", "worker-1")
    results = tuple(MachineResult(n, s) for n, s in zip(names, states, strict=False))
    whole = set(states) == {MachineState.DONE}
    return rollout_report(plan, Rollout(results, whole)).splitlines()[-1]


def test_the_last_line_counts_the_table_too() -> None:
    done, left = MachineState.DONE, MachineState.NOT_ALL_DELETED
    assert ended(done, done, done) == f"done: 1 replaced in network {NAME}; 2 added on 2 machines"
    assert ended(done) == f"done: 1 replaced in network {NAME}"
    assert ended(MachineState.AS_BEFORE) == "all as before"
    assert ended(MachineState.UNTOUCHED) == "nothing was changed"
    assert ended(MachineState.NOT_AS_BEFORE) == f"NOT as before: {NAME}; the others are as before"
    assert ended(left, done, done) == (
        f"committed, but {NAME} has routes left to delete: run the same again"
    )


def test_status_names_what_a_run_left() -> None:
    memory = replace(NOW.memory, run="20261129T101500.000001")
    report = network_report(replace(NOW, memory=memory))
    assert report.splitlines()[2].split() == ["kubernetes", "(hetzner)", "3", "100", "0", "0", "1"]
    assert "1 route added by the run of 2026-11-29 10:15:00 UTC, which has not ended" in report
    assert "which has not ended" not in network_report(state(table(ZERO), (ZERO,)))
