"""The plan for a provider's table, as its routes and what is remembered of them say."""

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

import pytest

from tasks.inventory.model import ProviderNetwork
from tasks.planning.model import Allowed, TablePlan, Verb
from tasks.planning.provider_table import plan_table
from tasks.planning.reconcile import plan_routes
from tasks.planning.table_rollback import plan_table_drain, plan_table_rollback
from tests.builders import cluster, facts, pods
from tests.networks.builders import key, state, table, table_route

ZERO, ONE = "10.200.0.0/24 via 10.240.0.6", "10.200.1.0/24 via 10.240.0.7"
TO_ZERO = "10.200.1.0/24 via 10.240.0.6"  # worker-1's pods, by the wrong server
TO_NOBODY = "10.200.1.0/24 via 10.240.0.99"
WIDE = "10.200.0.0/16 via 10.240.0.6"
OLD = "10.200.7.0/24 via 10.240.0.7"
OLD_DEAD = "10.200.7.0/24 via 10.240.0.99"
DEFAULT = "0.0.0.0/0 via 10.240.0.6"
NONE, REPLACE, PRUNE = Allowed(), Allowed(replace=True), Allowed(prune=True)


@dataclass(frozen=True)
class Case:
    """The table of two workers, what is remembered of it, and what its plan is to be."""

    name: str
    there: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    allowed: Allowed = NONE
    puts: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    in_sync: tuple[str, ...] = ()
    displaced: tuple[str, ...] = ()
    conflicts: int = 0
    stale: int = 0
    refusals: int = 0
    gaps: int = 0
    atomic: bool = False
    limit: int = 100
    exclusive: bool = True


BOTH = (ZERO, ONE)
CASES = [
    Case("an empty table", puts=BOTH),
    Case("ours", BOTH, BOTH, in_sync=BOTH),
    Case("right, and not remembered", BOTH, in_sync=BOTH),
    Case("foreign, to another server", (ZERO, TO_ZERO), in_sync=(ZERO,), conflicts=1),
    Case(
        "foreign, to another server, replaced",
        (ZERO, TO_ZERO),
        (),
        REPLACE,
        puts=(ONE,),
        takes=(TO_ZERO,),
        in_sync=(ZERO,),
        displaced=(TO_ZERO,),
        gaps=1,
    ),
    Case(
        "ours, to another server: the pods are silent for a moment",
        (ZERO, TO_ZERO),
        (ZERO, TO_ZERO),
        in_sync=(ZERO,),
        conflicts=1,
    ),
    Case(
        "the same, allowed",
        (ZERO, TO_ZERO),
        (ZERO, TO_ZERO),
        REPLACE,
        puts=(ONE,),
        takes=(TO_ZERO,),
        in_sync=(ZERO,),
        gaps=1,
    ),
    Case(
        "the same, where there is no gap",
        (ZERO, TO_ZERO),
        (ZERO, TO_ZERO),
        puts=(ONE,),
        takes=(TO_ZERO,),
        in_sync=(ZERO,),
        atomic=True,
    ),
    Case(
        "foreign, where there is no gap",
        (ZERO, TO_ZERO),
        in_sync=(ZERO,),
        conflicts=1,
        atomic=True,
    ),
    Case(
        "ours, to a server that is gone: nothing goes that way",
        (ZERO, TO_NOBODY),
        (ZERO, TO_NOBODY),
        puts=(ONE,),
        takes=(TO_NOBODY,),
        in_sync=(ZERO,),
    ),
    Case("foreign, to a server that is gone", (TO_NOBODY,), puts=(ZERO,), conflicts=1),
    Case("the same, pruned", (TO_NOBODY,), (), PRUNE, puts=BOTH, takes=(TO_NOBODY,)),
    Case("a wider one", (WIDE,), conflicts=2),
    Case("a wider one, where the longest prefix wins", (WIDE,), puts=BOTH, exclusive=False),
    Case("a default route", (DEFAULT,), puts=BOTH),
    Case("no worker's, working, foreign", (*BOTH, OLD), in_sync=BOTH),
    Case("no worker's, ours, working", (*BOTH, OLD), (*BOTH, OLD), in_sync=BOTH, stale=1),
    Case(
        "no worker's, ours, working, pruned",
        (*BOTH, OLD),
        (*BOTH, OLD),
        PRUNE,
        takes=(OLD,),
        in_sync=BOTH,
        refusals=1,
    ),
    Case(
        "no worker's, ours, working, pruned by force",
        (*BOTH, OLD),
        (*BOTH, OLD),
        Allowed(prune=True, force=True),
        takes=(OLD,),
        in_sync=BOTH,
    ),
    Case("no worker's, foreign, dead", (*BOTH, OLD_DEAD), in_sync=BOTH, stale=1),
    Case(
        "no worker's, foreign, dead, pruned",
        (*BOTH, OLD_DEAD),
        (),
        PRUNE,
        takes=(OLD_DEAD,),
        in_sync=BOTH,
    ),
    Case("outside pod_networks, dead", ("10.9.0.0/24 via 10.240.0.99",), (), PRUNE, puts=BOTH),
    Case("no room", (OLD,), puts=BOTH, limit=2, refusals=1),
    Case("room for the last", (OLD,), puts=BOTH, limit=3),
    Case(
        "room once dead ones are pruned",
        (OLD_DEAD,),
        (),
        PRUNE,
        puts=BOTH,
        takes=(OLD_DEAD,),
        limit=2,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case: Case) -> None:
    now = state(
        table(*case.there, limit=case.limit, exclusive=case.exclusive),
        case.ours,
        atomic=case.atomic,
    )
    plan = plan_table(cluster(2), now, case.allowed)
    assert tuple(str(c.put) for c in plan.changes if c.put) == case.puts
    assert tuple(str(r) for c in plan.changes for r in c.take) == case.takes
    assert tuple(map(str, plan.in_sync)) == case.in_sync
    assert plan.memory.displaced == set(map(key, case.displaced))
    found = (plan.conflicts, plan.stale, plan.refusals, plan.notes)
    assert tuple(map(len, found)) == (case.conflicts, case.stale, case.refusals, case.gaps)


def after(plan: TablePlan) -> set[str]:
    """The routes of a table after its plan."""
    there = {*plan.table.routes}
    for change in plan.changes:
        there -= set(change.take)
        there |= {change.put} if change.put else set()
    return set(map(str, there))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rollback_leads_back(case: Case) -> None:
    """To the table as before, but for what led nowhere and what was ours."""
    before = table(*case.there, limit=case.limit, exclusive=case.exclusive)
    plan = plan_table(cluster(2), state(before, case.ours, atomic=case.atomic), case.allowed)
    changed = replace(before, routes=tuple(map(table_route, sorted(after(plan)))))
    back = plan_table_rollback(cluster(2), replace(state(changed), memory=plan.memory))
    assert back.memory.empty
    foreign = {str(r) for r in before.routes if str(r) not in case.ours and before.works(r)}
    assert after(back) - foreign <= {str(r) for r in before.routes if not before.works(r)}
    assert foreign <= after(back)


def test_refusals() -> None:
    """What no provider could carry out is known before anything is done."""
    whole = cluster(2)
    zero, one = whole.machines
    subnet = replace(zero, pod_cidrs=(ip_network("10.240.0.128/25"),))
    public = replace(one, pod_cidrs=(ip_network("203.0.113.0/24"),))
    elsewhere = replace(one, internal_ips=(ip_address("10.240.0.99"),))
    for machine, words in [
        (subnet, "overlaps the network's subnet 10.240.0.0/24"),
        (public, "is outside 10.0.0.0/8"),
        (elsewhere, "belongs to no server of this network"),
        (replace(one, internal_ips=()), "has no internal IP"),
    ]:
        plan = plan_table(replace(whole, machines=(machine,)), state(table()), Allowed())
        assert words in plan.refusals[0]
        assert not plan.changes


def test_what_is_out_of_scope_stays() -> None:
    gone = state(table(ZERO, OLD_DEAD), (ZERO, OLD_DEAD))
    only = plan_table(cluster(2), gone, PRUNE, only="worker-1")
    assert [str(c.put) for c in only.changes] == [ONE]
    skipped = plan_table(cluster(2), gone, PRUNE, skipped=("worker-1",))
    assert after(skipped) == {ZERO}
    hidden = replace(cluster(2).machines[1], pod_cidrs=())
    whole = replace(cluster(2), machines=(cluster(2).machines[0], hidden))
    old = state(table(ZERO, OLD), (ZERO, OLD))
    unknown = plan_table(whole, old, Allowed(prune=True, force=True), skipped=("worker-1",))
    assert not unknown.changes  # it may be the pod CIDR of the one that was not reached


def test_adoption_changes_what_is_remembered_alone() -> None:
    plan = plan_table(cluster(2), state(table(*BOTH)), Allowed(adopt=True))
    assert plan.idle
    assert not plan.empty
    assert plan.memory.ours == set(map(key, BOTH))


def test_what_an_unfinished_run_left_is_named_and_kept_or_deleted() -> None:
    now = state(table(ZERO, DEFAULT), unfinished=BOTH)
    plan = plan_table(cluster(2), now, Allowed())
    assert tuple(map(str, plan.unfinished)) == (ZERO,)
    assert plan.memory.ours == set(map(key, BOTH))
    assert not plan.memory.unfinished
    assert after(plan_table_rollback(cluster(2), now)) == {DEFAULT}


def test_a_rollback_of_what_is_not_remembered_says_so() -> None:
    plan = plan_table_rollback(cluster(2), state(table(*BOTH)))
    assert plan.empty
    assert "2 routes to pods of this cluster stay" in plan.notes[0]


@pytest.mark.parametrize(
    ("there", "notes"),
    [
        ((ONE,), 0),
        (("10.200.1.0/24 via 10.240.0.8",), 0),  # somebody has put another one there
        (("10.200.0.0/16 via 10.240.0.8",), 1),
        ((), 0),
    ],
)
def test_displaced_routes_are_put_back_where_there_is_room(
    there: tuple[str, ...], notes: int
) -> None:
    plan = plan_table_rollback(cluster(2), state(table(*there), (ONE,), displaced=(TO_ZERO,)))
    assert len(plan.notes) == notes
    assert (TO_ZERO in after(plan)) == (there in ((ONE,), ()))


def test_a_displaced_route_to_a_server_that_is_gone_is_not_put_back() -> None:
    plan = plan_table_rollback(cluster(2), state(table(ONE), (ONE,), displaced=(TO_NOBODY,)))
    assert after(plan) == set()
    assert "cannot be put back" in plan.notes[0]


def test_draining_deletes_our_routes_to_a_worker() -> None:
    now = state(table(*BOTH), BOTH)
    plan = plan_table_drain(now, cluster(2).machine("worker-1").pod_cidrs)
    assert after(plan) == {ZERO}
    assert plan.memory.ours == {key(ZERO)}
    assert plan_table_drain(state(table(*BOTH)), cluster(2).machines[1].pod_cidrs).empty


def test_source_checks_are_switched_off_and_on_again() -> None:
    plan = plan_table(cluster(2), state(table(*BOTH, servers=2, checks=True), BOTH), Allowed())
    assert [member.name for member in plan.unchecked] == ["worker-0", "worker-1"]
    assert plan.memory.unchecked == {"0", "1"}
    there = replace(state(table(*BOTH, servers=2)), memory=plan.memory)
    back = plan_table_rollback(cluster(2), there)
    assert [member.name for member in back.checked] == ["worker-0", "worker-1"]


def test_a_rollback_of_one_machine_is_about_its_pods_alone() -> None:
    there = state(table(*BOTH), BOTH, displaced=(TO_ZERO, "10.200.0.0/24 via 10.240.0.8"))
    there = replace(there, memory=replace(there.memory, unchecked=frozenset({"0", "1"})))
    plan = plan_table_rollback(cluster(2), there, name="worker-1")
    assert after(plan) == {ZERO, TO_ZERO}
    assert plan.memory.ours == {key(ZERO)}
    assert plan.memory.displaced == {key("10.200.0.0/24 via 10.240.0.8")}
    assert plan.memory.unchecked == {"0"}


def test_a_worker_whose_subnet_uses_another_table_is_refused() -> None:
    members = tuple(replace(one, led=one.name != "worker-1") for one in table().members)
    other = state(replace(table(), members=members), atomic=True)
    plan = plan_table(cluster(2), other, Allowed())
    assert [str(c.put) for c in plan.changes] == [ZERO]
    (line,) = plan.refusals
    assert line.startswith("worker-1's subnet uses another route table")
    ours = replace(other, table=replace(other.table, routes=(table_route(ONE),)))
    ours = replace(ours, memory=replace(ours.memory, ours=frozenset([key(ONE)])))
    assert after(plan_table_rollback(cluster(2), ours)) == set()  # that is still possible


def test_machines_send_packets_to_the_gateway() -> None:
    asked = {"worker-0": facts(0)}
    (plan,) = plan_routes(cluster(3), asked, Allowed(), table=table()).machines
    assert [str(c.put) for c in plan.changes] == [
        f"{pods(n)} via 10.240.0.1 dev enp6s0" for n in (1, 2)
    ]
    assert not plan.refusals


def test_a_machine_whose_link_to_the_gateway_is_missing() -> None:
    away = replace(table(), gateway=ip_address("10.9.0.1"))
    whole = replace(cluster(2), network=ProviderNetwork("hetzner", "kubernetes"))
    (plan,) = plan_routes(whole, {"worker-0": facts(0)}, Allowed(), table=away).machines
    assert "kubernetes (hetzner)'s gateway 10.9.0.1 is not on a link" in plan.refusals[0]


def test_machines_need_no_route_inside_the_networks_range() -> None:
    inside = replace(table(), ranges=(ip_network("10.0.0.0/8"),))
    found = facts(0, f"{pods(1)} via 10.240.0.7 dev enp6s0 proto 214")
    (plan,) = plan_routes(cluster(2), {"worker-0": found}, Allowed(), table=inside).machines
    assert [change.verb for change in plan.changes] == [Verb.DELETE]  # of an earlier hosts.toml
    foreign = facts(0, f"{pods(1)} via 10.240.0.9 dev enp6s0")
    (plan,) = plan_routes(cluster(2), {"worker-0": foreign}, Allowed(), table=inside).machines
    assert len(plan.conflicts) == 1
    right = facts(0, f"{pods(1)} via 10.240.0.7 dev enp6s0")
    (plan,) = plan_routes(cluster(2), {"worker-0": right}, Allowed(), table=inside).machines
    assert plan.empty
    assert not plan.conflicts
