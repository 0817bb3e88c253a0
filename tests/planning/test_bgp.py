"""What a plan makes of routes while BIRD's sessions begin anew."""

from dataclasses import replace

import pytest

from tasks.bgp.bird import Bird
from tasks.bgp.bird_conf import METRIC, bird_conf
from tasks.inventory.model import Bgp
from tasks.planning.model import Allowed
from tasks.planning.reconcile import plan_routes
from tests.builders import DEV, cluster, facts, node, pods, wanted

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
