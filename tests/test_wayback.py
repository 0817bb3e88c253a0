"""The way back: what a rollback restores, and what undoing it may take away again."""

from dataclasses import replace

from tasks.facts import Displaced, Last
from tasks.persistence import Manager, files_to, ways_in
from tasks.steps import steps
from tasks.wayback import plan_last, plan_rollback

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


def test_what_was_lost_is_noted_as_ours_no_longer() -> None:
    """Else the watch would put it back after the rollback."""
    lost = facts(0, kept=(route(wanted(1)),))
    (plan,) = plan_rollback(cluster(2), {"worker-0": lost}).machines
    assert not plan.empty
    assert plan.noted == ()
    assert plan_rollback(cluster(2), {"worker-0": facts(0)}).empty


def test_half_the_way_back_leaves_what_the_last_run_was_not_about() -> None:
    one, two = (route(wanted(n)) for n in (1, 2))
    here = {"enp6s0": Manager("ifupdown")}
    files = {f.path: f.text for f in files_to((one, two), here, {}).write}
    found = facts(0, wanted(2), kept=(one, two), files=files, managers=here)
    (plan,) = plan_last(cluster(3), {"worker-0": replace(found, last=Last("run", (two,)))}).machines
    assert ways_in({f.path: f.text for f in plan.files.write}) == {(one.prefix, one.next_hop)}
    assert plan.noted == (one,)
    lost = replace(found, last=Last("run", (one,)))
    (plan,) = plan_last(cluster(3), {"worker-0": lost}).machines
    assert ways_in({f.path: f.text for f in plan.files.write}) == {(two.prefix, two.next_hop)}
    assert plan.noted == ()
