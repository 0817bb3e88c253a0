"""Who speaks BGP with whom."""

from dataclasses import replace

import pytest

from tasks.bgp.sessions import FULL_MESH, Relation, reflectors, sessions
from tasks.common.values import address, network
from tasks.inventory.model import Bgp, Cluster, Router
from tests.builders import cluster


def pairs(of: Cluster, bgp: Bgp) -> set[tuple[str, str]]:
    return {(m.name, s.neighbor) for m in of.machines for s in sessions(of, bgp, m)}


def test_in_a_small_cluster_everybody_speaks_with_everybody() -> None:
    small = cluster(FULL_MESH - 1, 1)
    assert len(pairs(small, Bgp())) == FULL_MESH * (FULL_MESH - 1)
    assert reflectors(small, Bgp()) == ()


@pytest.mark.parametrize(
    ("workers", "controllers", "chosen"),
    [
        (17, 0, ("worker-0", "worker-1")),
        (16, 1, ("controller-16", "worker-0")),
        (20, 5, ("controller-20", "controller-21", "controller-22")),
    ],
)
def test_a_large_one_has_reflectors(
    workers: int, controllers: int, chosen: tuple[str, ...]
) -> None:
    large = cluster(workers, controllers)
    assert reflectors(large, Bgp()) == chosen
    assert all(one in chosen or other in chosen for one, other in pairs(large, Bgp()))


@pytest.mark.parametrize("bgp", [Bgp(), Bgp(reflectors=("worker-1", "worker-2"))])
@pytest.mark.parametrize("size", [(3, 1), (30, 3)])
def test_a_session_has_two_ends(bgp: Bgp, size: tuple[int, int]) -> None:
    """Both ends have the same addresses, and one is a client where the other is a reflector."""
    whole = cluster(*size, (4, 6))
    ends = {
        (m.name, s.neighbor, s.local.version): s
        for m in whole.machines
        for s in sessions(whole, bgp, m)
    }
    for (one, other, family), session in ends.items():
        end = ends[other, one, family]
        assert (end.local, end.remote) == (session.remote, session.local)
        relations = {session.relation, end.relation}
        assert relations in (
            {Relation.PEER},
            {Relation.REFLECTOR},
            {Relation.REFLECTOR, Relation.CLIENT},
        )


def test_a_new_worker_changes_no_other_client() -> None:
    before, after = cluster(40, 3), cluster(40, 3)
    new = replace(after.workers[-1], name="worker-99")
    after = replace(after, machines=(*after.machines, new))
    client = before.machine("worker-7")
    assert sessions(before, Bgp(), client) == sessions(after, Bgp(), client)


def test_a_router_is_spoken_with_by_everybody_who_has_its_family() -> None:
    router = Router(address("fd00:240::1"), 65001, (network("2001:db8::/48"),))
    six, four = cluster(2, families=(4, 6)), cluster(2)
    (session,) = (
        s
        for s in sessions(six, Bgp(routers=(router,)), six.machines[0])
        if s.relation is Relation.ROUTER
    )
    assert (session.remote_as, session.accept) == (65001, router.accept)
    assert not [
        s
        for s in sessions(four, Bgp(routers=(router,)), four.machines[0])
        if s.relation is Relation.ROUTER
    ]
