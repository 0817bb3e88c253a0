"""A sample: everyone a source and a target as often as was asked for."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tasks.connectivity.sample import FULL_MESH, PEERS, chosen, sample
from tests.builders import cluster


@given(st.integers(2, 80), st.integers(1, 90), st.integers())
def test_each_worker_is_a_source_and_a_target_equally_often(
    workers: int, peers: int, seed: int
) -> None:
    pairs = sample(cluster(workers), peers, seed)
    often = min(peers, workers - 1)
    assert set(Counter(source for source, _ in pairs).values()) == {often}
    assert set(Counter(target for _, target in pairs).values()) == {often}
    assert len(pairs) == workers * often
    assert not [pair for pair in pairs if pair[0] == pair[1]]
    assert pairs == sample(cluster(workers), peers, seed)


def test_controllers_are_sources_too() -> None:
    pairs = sample(cluster(5, controllers=2), 2, 1)
    assert (
        sorted(a for a, _ in pairs if "controller" in a)
        == ["controller-5"] * 2 + ["controller-6"] * 2
    )


def test_all_pairs_up_to_the_limit_and_on_demand() -> None:
    assert chosen(cluster(FULL_MESH), 0, 1, full=False) is None
    assert chosen(cluster(FULL_MESH + 1), 0, 1, full=True) is None
    past = chosen(cluster(FULL_MESH + 1), 0, 1, full=False)
    assert past is not None
    assert len(past) == PEERS * (FULL_MESH + 1)
    assert len(chosen(cluster(3), 1, 1, full=False) or ()) == 3


def test_one_worker_has_nobody_to_ping() -> None:
    assert sample(cluster(1), 8, 1) == frozenset()
