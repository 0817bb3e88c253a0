"""A worker about to leave: which routes go, and what is refused."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from tasks.changes import Plan
from tasks.cluster import Address
from tasks.draining import plan_drain
from tasks.facts import Facts
from tasks.persistence import IF_UP, Manager, files_to, ways_in

from .builders import DEV, cluster, facts, node, pods, route, wanted

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
    plan = plan_drain(cluster(3), asked, "worker-2", force=False)
    assert deleted(plan) == {
        "worker-0": [pods(2)],
        "worker-1": [pods(2)],
        "worker-2": [pods(0), pods(1)],
    }
    first, _, last = plan.machines
    assert {str(prefix) for prefix, _ in ways_in({f.path: f.text for f in first.files.write})} == {
        pods(1)
    }
    assert last.files.remove == (IF_UP,)
    assert not plan.blocked
    assert not plan.only_adds


def test_one_that_answers_wants_force() -> None:
    asked = {"worker-0": machine(0, [ip_address(node(2))]), "worker-2": machine(2)}
    refused = plan_drain(cluster(3), asked, "worker-2", force=False)
    assert refused.refused
    assert "still answers at 10.240.0.8" in refused.machines[0].refusals[0]
    assert not plan_drain(cluster(3), asked, "worker-2", force=True).refused
    assert not plan_drain(cluster(3), asked, "worker-1", force=False).refused


def test_one_that_cannot_be_asked_leaves_the_others_all_the_same() -> None:
    plan = plan_drain(cluster(3), {"worker-0": machine(0)}, "worker-2", False, {"worker-2": "down"})
    assert deleted(plan) == {"worker-0": [pods(2)]}
