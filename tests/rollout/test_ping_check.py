"""Which pairs must go on answering, by their routes before a run and after it."""

from tasks.planning.model import Change, MachinePlan, Plan
from tasks.rollout.ping_check import replaced_pairs, routed_pairs
from tests.builders import cluster, facts, node, pods, route, wanted

BOTH = {("worker-0", "worker-1"), ("worker-1", "worker-0")}


def test_routes_both_ways_stand() -> None:
    there = {"worker-0": facts(0, wanted(1)), "worker-1": facts(1, wanted(0))}
    assert routed_pairs(cluster(2), there) == BOTH
    assert routed_pairs(cluster(2), {**there, "worker-1": facts(1)}) == set()


def test_after_a_plan_the_kernels_choice_is_made_anew() -> None:
    """What is taken may have been in the way, beside, or the way itself."""
    shadow = f"{pods(1)} tos 0x10 via {node(9)} dev enp6s0 proto static"
    worse = f"{pods(1)} via {node(9)} dev enp6s0 proto static metric 50"
    before = {"worker-0": facts(0, wanted(1), shadow, worse), "worker-1": facts(1, wanted(0))}

    def after(*changes: Change) -> frozenset[tuple[str, str]]:
        return routed_pairs(cluster(2), before, Plan((MachinePlan("worker-0", changes),), {}))

    assert after(Change(None, (route(shadow),))) == BOTH
    assert after(Change(None, (route(worse),))) == BOTH
    assert after(Change(None, (route(wanted(1)),))) == set()
    elsewhere = route(f"{pods(1)} via {node(9)} dev enp6s0 proto 214")
    assert after(Change(elsewhere, (route(wanted(1)),))) == set()


def test_a_replaced_route_concerns_both_ways() -> None:
    """A route that is only added, or only deleted, leads nowhere that answered before."""
    ours, other = route(wanted(1)), route(f"{pods(1)} via {node(9)} dev enp6s0 proto static")

    def concerned(*changes: Change) -> frozenset[tuple[str, str]]:
        return replaced_pairs(cluster(2), Plan((MachinePlan("worker-0", changes),), {}))

    assert concerned(Change(ours, (other,))) == BOTH
    assert concerned(Change(ours)) == set()
    assert concerned(Change(None, (other,))) == set()
    stale = f"{pods(7)} via {node(7)} dev enp6s0"
    assert concerned(Change(route(stale), (route(f"{stale} metric 5"),))) == set()
