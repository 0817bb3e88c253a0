"""What a plan to exchange pod CIDRs by BGP refuses on a machine, and what it lives beside."""

from dataclasses import replace

import pytest

from tasks.bgp.bird import Bird, Listener
from tasks.bgp.bird_conf import METRIC, bird_conf
from tasks.inventory.model import Bgp
from tasks.planning.model import Allowed, MachinePlan
from tasks.planning.reconcile import plan_routes
from tests.builders import DEV, cluster, facts, node, pods, wanted

HERE = Bird(version="2.0.12")
HOP = f"{pods(1)} via {node(1)} dev {DEV}"


def plan(*lines: str, bird: Bird = HERE, allowed: Allowed | None = None) -> MachinePlan:
    """The plan of the first of two workers that has these routes."""
    whole = replace(cluster(2), bgp=Bgp())
    asked = {"worker-0": facts(0, *lines, bird=bird), "worker-1": facts(1, bird=HERE)}
    return plan_routes(whole, asked, allowed or Allowed()).machines[0]


@pytest.mark.parametrize(
    ("address", "program", "said"),
    [
        (node(0), "bird", "another BIRD"),
        (f"{node(0)}%{DEV}", "bgpd", "FRR (bgpd)"),
        ("0.0.0.0", "gobgpd", "GoBGP"),  # noqa: S104
        ("*", "kube-router", "kube-router"),
        ("[::]", "", "a program that ss does not name"),
        (node(0), "mine", "mine"),
    ],
)
def test_a_program_that_holds_the_port_is_named(address: str, program: str, said: str) -> None:
    heard = replace(HERE, listeners=(Listener(address, program),))
    (refusal,) = plan(bird=heard).refusals
    assert refusal.startswith(f"port 179, which BGP needs, is held there by {said}")


@pytest.mark.parametrize("address", ["203.0.113.10", "127.0.0.1", "[fd00::1]", f"{node(0)}9"])
def test_one_that_holds_it_at_another_address_is_not_in_the_way(address: str) -> None:
    assert plan(bird=replace(HERE, listeners=(Listener(address, "bird"),))).refusals == ()


def test_a_foreign_route_of_the_same_metric_is_named() -> None:
    """BIRD could not add its own: a table has one route of a prefix and metric."""
    (refusal,) = plan(f"{HOP} proto static metric {METRIC}").refusals
    assert f"the route {HOP} proto static metric {METRIC} has the metric" in refusal


def test_routes_of_another_bird_that_has_this_metric_are_named() -> None:
    line = f"{HOP} proto bird metric {METRIC}"
    (refusal,) = plan(line).refusals
    assert refusal.startswith(f"another BIRD has the metric of this tool's ({METRIC})")
    assert plan(line, bird=replace(HERE, conf="text")).refusals == ()


def test_a_route_of_another_bird_to_another_next_hop_is_a_conflict() -> None:
    line = f"{pods(1)} via {node(8)} dev {DEV} proto bird metric 32"
    assert [str(line) in conflict.what for conflict in plan(line).conflicts] == [True]
    replaced = plan(line, allowed=Allowed(replace=True))
    assert replaced.conflicts == ()
    assert [[r.text for r in c.take] for c in replaced.later] == [[line]]


@pytest.mark.parametrize(
    ("version", "said"),
    [("", "BIRD is not installed there: --install"), ("1.6.8", "BIRD 1.6.8 is there, and 2.0")],
)
def test_what_is_there_instead_of_bird_2_is_said(version: str, said: str) -> None:
    (refusal,) = plan(bird=Bird(version=version)).refusals
    assert refusal.startswith(said)


def test_bird_that_is_to_be_installed_is_no_refusal() -> None:
    planned = plan(bird=Bird(), allowed=Allowed(install=True))
    assert (planned.refusals, planned.install) == ((), True)


SPEAKING = replace(cluster(2), bgp=Bgp())
BY_BGP = f"{pods(1)} via {node(1)} dev {DEV} proto bird metric {METRIC}"
SHADOW = f"{pods(1)} via {node(9)} dev {DEV} proto static"
RIGHT = f"{pods(1)} via {node(1)} dev {DEV} proto static"


@pytest.mark.parametrize(
    ("static", "first", "last"),
    [
        ([], [("add", [])], 1),
        ([wanted(1)], [], 1),
        ([RIGHT], [], 0),
        ([SHADOW], [("replace", [SHADOW])], 1),
    ],
)
def test_a_static_route_stands_in_and_what_shadows_the_prefix_goes_first(
    static: list[str], first: list[tuple[str, list[str]]], last: int
) -> None:
    conf = bird_conf(SPEAKING, Bgp(), SPEAKING.machines[0])
    bird = Bird("2.0.12", conf=conf.replace("as 64512", "as 65000"), running=True)
    asked = {"worker-0": facts(0, *static, BY_BGP, bird=bird), "worker-1": facts(1)}
    plan = plan_routes(SPEAKING, asked, Allowed(replace=True)).machines[0]
    assert [(c.verb.value, [str(r) for r in c.take]) for c in plan.changes] == first
    assert len(plan.later) == last
    assert not any(r.protocol == "bird" for c in plan.later for r in c.take)
