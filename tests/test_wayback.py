"""The way back: what a rollback restores, and what undoing it may take away again."""

from tasks.facts import Displaced
from tasks.steps import steps
from tasks.wayback import plan_rollback

from .builders import cluster, facts, node, pods, route, wanted

GONE = route(f"{pods(1)} via {node(9)} dev enp6s0 proto static")
STAYED = route(f"{pods(1)} tos 0x10 via {node(1)} dev enp6s0 proto static")


def test_undoing_a_rollback_takes_away_only_what_it_put_back() -> None:
    """A record holds all routes of its prefix and protocol, also those that never left."""
    kept = Displaced("run_4_10.200.1.0-24_static", (GONE, STAYED))
    found = facts(0, wanted(1), displaced=(kept,))
    found_too = facts(0, wanted(1), STAYED.text, displaced=(kept,))
    for asked, taken in ((found, 2), (found_too, 1)):
        (plan,) = plan_rollback(cluster(2), {"worker-0": asked}).machines
        made = steps(plan, "later")
        assert [d.file for d in made.restores] == [kept.file]
        assert sum("proto static" in line for line in made.undo) == taken
