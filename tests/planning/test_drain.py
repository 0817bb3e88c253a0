"""A worker about to leave: which routes go, and what is refused."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tasks.common.values import Address
from tasks.facts.model import Facts
from tasks.persistence.backends import IF_UP, files_to, persisted_routes
from tasks.persistence.managers import Manager
from tasks.planning.drain import plan_drain
from tasks.planning.model import Plan
from tests.builders import DEV, cluster, facts, node, pods, route, wanted

HERE = {DEV: Manager("ifupdown")}


def machine(number: int, answering: Iterable[Address] = ()) -> Facts:
    """A machine with our routes to the others, also in its file."""
    lines = [wanted(n) for n in range(3) if n != number]
    made = files_to(map(route, lines), HERE, {})
    files = {file.path: file.text for file in made.write}
    return facts(number, *lines, files=files, managers=HERE, answering=frozenset(answering))


def deleted(plan: Plan) -> dict[str, list[str]]:
    """The prefixes whose routes go, by machine."""
    return {m.name: [str(c.prefix) for c in m.changes if not c.put] for m in plan.machines}


def test_the_routes_to_it_and_on_it_go_and_no_others() -> None:
    asked = {f"worker-{n}": machine(n) for n in range(3)}
    foreign = route(f"{pods(2)} via {node(2)} dev {DEV} proto static metric 9")
    asked["worker-0"] = replace(asked["worker-0"], routes=(*asked["worker-0"].routes, foreign))
    plan = plan_drain(cluster(3), asked, "worker-2", force=True)
    assert deleted(plan) == {
        "worker-0": [pods(2)],
        "worker-1": [pods(2)],
        "worker-2": [pods(0), pods(1)],
    }
    first, _, last = plan.machines
    assert {
        str(prefix) for prefix, _ in persisted_routes({f.path: f.text for f in first.files.write})
    } == {pods(1)}
    assert last.files.remove == (IF_UP,)
    assert not plan.blocked
    assert not plan.only_adds


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({0: [node(2)], 1: []}, "10.240.0.8"),  # it answers a ping of another one
        ({0: [], 2: []}, "203.0.113.12"),  # it answers us, though it may answer no ping
    ],
)
def test_one_that_answers_wants_force(asked: dict[int, list[str]], where: str) -> None:
    found = {f"worker-{n}": machine(n, map(ip_address, hops)) for n, hops in asked.items()}
    refused = plan_drain(cluster(3), found, "worker-2", force=False)
    (why,) = [why for m in refused.machines for why in m.refusals]
    assert f"worker-2 still answers at {where}: " in why
    assert not plan_drain(cluster(3), found, "worker-2", force=True).refused


def test_a_route_to_another_worker_that_is_lost_that_day_comes_back_all_the_same() -> None:
    there = [route(wanted(n)) for n in (1, 2)]
    found = replace(machine(0), routes=facts(0, wanted(2)).routes, recorded=tuple(there))
    (plan,) = plan_drain(cluster(3), {"worker-0": found}, "worker-2", force=False).machines
    assert persisted_routes({f.path: f.text for f in plan.files.write}) == {
        (there[0].prefix, there[0].next_hop)
    }
    assert plan.still_missing == (there[0],)


def test_a_lost_route_to_it_is_not_put_back_by_the_watch_afterwards() -> None:
    lost = facts(0, recorded=(route(wanted(2)),))
    (plan,) = plan_drain(cluster(3), {"worker-0": lost}, "worker-2", force=False).machines
    assert not plan.empty
    assert plan.still_missing == ()


def test_one_that_cannot_be_asked_leaves_the_others_all_the_same() -> None:
    plan = plan_drain(cluster(3), {"worker-0": machine(0)}, "worker-2", False, {"worker-2": "down"})
    assert deleted(plan) == {"worker-0": [pods(2)]}
