"""Drift: what is told of routes that are not as they were left."""

from dataclasses import replace

import pytest

from tasks.bgp.bird import Bird, SessionState
from tasks.bgp.bird_conf import METRIC, bird_conf
from tasks.common.values import address
from tasks.inventory.model import Bgp
from tasks.persistence.backends import files_to
from tasks.persistence.managers import Manager
from tasks.planning.drift import drift
from tasks.planning.model import Allowed
from tasks.planning.reconcile import plan_routes
from tasks.reports.plan import plan_report
from tasks.undo.records import Pending
from tests.builders import DEV, cluster, facts, node, pods, route, wanted

KEPT = (route(wanted(1)), route(wanted(2)))
HIJACKED = f"{pods(1)} via {node(9)} dev {DEV} proto static"
MOVED = f"{pods(1)} via {node(9)} dev {DEV} proto 214"
WANTED = [r.place for r in KEPT]


def on_disk(*numbers: int) -> dict[str, str]:
    """A machine's file with routes to these workers."""
    files = files_to([route(wanted(n)) for n in numbers], {DEV: Manager("ifupdown")}, {})
    return {file.path: file.text for file in files.write}


@pytest.mark.parametrize(
    ("lines", "files", "told"),
    [
        ((wanted(1), wanted(2)), {}, []),
        ((wanted(1), wanted(2)), on_disk(1, 2), []),
        ((wanted(2),), {}, ["missing 1"]),
        ((wanted(2),), on_disk(1, 2), ["missing 1"]),
        ((HIJACKED, wanted(2)), {}, ["changed by someone else 1"]),
        ((MOVED, wanted(2)), {}, ["changed by someone else 1"]),
        ((wanted(1), HIJACKED + " metric 50", wanted(2)), {}, []),
        ((wanted(1), wanted(2)), on_disk(1), ["not in the file 2"]),
        ((wanted(1), wanted(2)), on_disk(1, 2, 3), ["only in the file 3"]),
        ((), on_disk(3), ["missing 1", "missing 2", "only in the file 3"]),
    ],
)
def test_each_is_told_as_what_it_is(
    lines: tuple[str, ...], files: dict[str, str], told: list[str]
) -> None:
    numbers = {pods(n): n for n in range(4)}
    found = drift(facts(0, *lines, recorded=KEPT, files=files), WANTED, stay=False)
    assert [f"{d.kind.text} {numbers[str(d.prefix)]}" for d in found] == told


def test_where_routes_are_to_stay_a_file_that_is_gone_is_told() -> None:
    found = facts(0, wanted(1), wanted(2), recorded=KEPT)
    assert [d.kind.text for d in drift(found, WANTED, stay=True)] == ["not in the file"] * 2


def test_nothing_is_told_of_what_nobody_wants_any_more_or_while_a_change_waits() -> None:
    assert drift(facts(0, recorded=KEPT), WANTED[1:], stay=False)[0].prefix == KEPT[1].prefix
    pending = Pending("run", "who", "since", "what", 5)
    assert (
        drift(facts(0, recorded=KEPT, files=on_disk(3), pending=pending), WANTED, stay=True) == ()
    )


def test_the_plan_tells_it_and_counts_where_it_is_much() -> None:
    asked = {"worker-0": facts(0, wanted(2), recorded=KEPT)}
    report = plan_report(plan_routes(cluster(3), asked, Allowed()))
    assert f"worker-0: missing: {KEPT[0]} was put here and is gone" in report.replace("\n ", "")
    many = {"worker-0": facts(0, recorded=tuple(route(wanted(n)) for n in range(1, 10)))}
    report = plan_report(plan_routes(cluster(10), many, Allowed()))
    assert "worker-0: missing: 9 routes: " in report
    assert report.count("missing") == 1


SPEAKING = replace(cluster(4), bgp=Bgp())


def by_bgp(number: int) -> str:
    return f"{pods(number)} via {node(number)} dev {DEV} proto bird metric {METRIC}"


def bird(number: int, *down: int, **more: object) -> Bird:
    """The BIRD of a worker of SPEAKING, whose sessions with some others are down."""
    values: dict[str, object] = {
        "version": "2.0.12",
        "conf": bird_conf(SPEAKING, Bgp(), SPEAKING.machines[number]),
        "running": True,
        "sessions": tuple(
            SessionState(address(node(n)), "Connect" if n in down else "Established", "10:00")
            for n in range(4)
            if n != number
        ),
    }
    return Bird(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "first", "others", "told"),
    [
        ([by_bgp(1), by_bgp(2), by_bgp(3)], bird(0), [1, 2, 3], []),
        ([by_bgp(1), by_bgp(2), by_bgp(3)], bird(0, 2), [1, 2, 3], ["BGP down: worker-2"]),
        ([by_bgp(1), by_bgp(2), wanted(3)], bird(0, 3), [1, 2], []),
        (
            [by_bgp(1), by_bgp(3)],
            bird(0, 2),
            [1, 2, 3],
            ["BGP down: worker-2", f"missing: {pods(2)}"],
        ),
        ([by_bgp(1), wanted(2), by_bgp(3)], bird(0), [1, 2, 3], []),
        ([by_bgp(2)], bird(0, running=False), [1, 2, 3], ["BGP down: BIRD does not run"]),
        ([wanted(1), wanted(2), wanted(3)], Bird("2.0.12"), [1, 2, 3], []),
        ([by_bgp(1), by_bgp(2)], bird(0, 3), [1, 2], []),
        ([], bird(0, 1, 2, 3, conf="older"), [1, 2, 3], ["BGP down: worker-1, worker-2, worker-3"]),
    ],
)
def test_what_should_have_come_by_bgp(
    lines: list[str], first: Bird, others: list[int], told: list[str]
) -> None:
    """`others`: the workers that speak BGP already. No change is planned for what has not come."""
    asked = {"worker-0": facts(0, *lines, bird=first)}
    asked.update(
        (f"worker-{n}", facts(n, bird=bird(n) if n in others else Bird("2.0.12")))
        for n in (1, 2, 3)
    )
    plan = plan_routes(SPEAKING, asked, Allowed()).machines[0]
    assert [
        f"{d.kind.text}: {d.prefix or d.what.removeprefix('no session with ')}" for d in plan.drift
    ] == told
    assert not plan.changes


def test_nothing_is_told_of_bgp_while_a_change_waits_or_where_routes_are_static() -> None:
    pending = Pending("run", "who", "since", "what", 5)
    asked = {f"worker-{n}": facts(n, bird=bird(n, 0, 1, 2, 3), pending=pending) for n in range(4)}
    assert not any(m.drift for m in plan_routes(SPEAKING, asked, Allowed()).machines)
    static = {name: replace(f, pending=None) for name, f in asked.items()}
    plan = plan_routes(cluster(4), static, Allowed(), limit="worker-0")
    assert not any(m.drift for m in plan.machines)
