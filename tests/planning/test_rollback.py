"""The way back: what a rollback restores, and what undoing it may take away again."""

from dataclasses import replace

from tasks.bgp.bird import Bird
from tasks.persistence.backends import files_to, persisted_routes
from tasks.persistence.managers import Manager
from tasks.planning.model import BirdChange
from tasks.planning.rollback import plan_last, plan_rollback
from tasks.rollout.steps import steps
from tasks.undo.records import Displaced, Last
from tests.builders import cluster, facts, node, pods, route, wanted

OTHER = route(f"{pods(1)} via {node(8)} dev enp6s0 proto static")
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
        assert sum("proto 4" in line for line in made.undo) == taken


def test_the_route_that_was_displaced_first_comes_back_whatever_the_clocks_said() -> None:
    """The operator of the first run had a clock that was an hour ahead; of two, none is known."""
    early, late = "20260101T130000.1", "20260101T120000.1"
    first, second = (
        Displaced(f"{run}_4_10.200.1.0-24_static", (kept,))
        for run, kept in ((early, GONE), (late, OTHER))
    )
    orders: list[tuple[tuple[tuple[str, ...], ...], Displaced]] = [
        (((early,), (late,)), first),
        (((late,), (early,)), second),
        (((late,),), first),  # it was before all that are noted
        ((), second),
    ]
    for runs, back in orders:
        found = facts(0, displaced=(second, first), runs=runs)
        (plan,) = plan_rollback(cluster(2), {"worker-0": found}).machines
        assert [d.file for d in plan.restores] == [back.file]


def test_what_was_lost_is_noted_as_ours_no_longer() -> None:
    """Else the watch would put it back after the rollback."""
    lost = facts(0, recorded=(route(wanted(1)),))
    (plan,) = plan_rollback(cluster(2), {"worker-0": lost}).machines
    assert not plan.empty
    assert plan.still_missing == ()
    assert plan_rollback(cluster(2), {"worker-0": facts(0)}).empty


def test_half_the_way_back_leaves_what_the_last_run_was_not_about() -> None:
    one, two = (route(wanted(n)) for n in (1, 2))
    here = {"enp6s0": Manager("ifupdown")}
    files = {f.path: f.text for f in files_to((one, two), here, {}).write}
    found = facts(0, wanted(2), recorded=(one, two), files=files, managers=here)
    (plan,) = plan_last(
        cluster(3), {"worker-0": replace(found, last=Last("run", (two,)))}, "run"
    ).machines
    assert persisted_routes({f.path: f.text for f in plan.files.write}) == {
        (one.prefix, one.next_hop)
    }
    assert plan.still_missing == (one,)
    lost = replace(found, last=Last("run", (one,)))
    (plan,) = plan_last(cluster(3), {"worker-0": lost}, "run").machines
    assert persisted_routes({f.path: f.text for f in plan.files.write}) == {
        (two.prefix, two.next_hop)
    }
    assert plan.still_missing == ()


def test_what_came_back_at_boot_before_the_last_run_comes_back_after_it_is_reverted() -> None:
    """Also if it came back in the other way: static routes by a boot file, BIRD by its unit."""
    static = route(wanted(1))
    here = {"enp6s0": Manager("ifupdown")}
    files = {f.path: f.text for f in files_to((static,), here, {}).write}
    to_bgp = facts(
        0,
        managers=here,
        last=Last("run", takes=(static,)),
        bird=Bird(conf="now", at_boot="yes", systemd=True, before=""),
    )
    (plan,) = plan_last(cluster(2), {"worker-0": to_bgp}, "run").machines
    assert {f.path for f in plan.files.write} == set(files)
    assert plan.bird == BirdChange("", "now", from_last=True, keeps=False)
    to_static = facts(
        0,
        static.text,
        managers=here,
        files=files,
        last=Last("run", puts=(static,)),
        bird=Bird(systemd=True, before="conf"),
    )
    (plan,) = plan_last(cluster(2), {"worker-0": to_static}, "run").machines
    assert set(plan.files.remove) == set(files)
    assert plan.bird == BirdChange("conf", "", at_boot=True, from_last=True, keeps=False)
