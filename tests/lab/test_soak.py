"""The short form of `make soak`: each kind of fault once, and every machine ends whole."""

from .conftest import MakeLab
from .faults import FAULTS
from .soak import VERBS, soak


def test_every_kind_of_fault_leaves_every_machine_whole(make_lab: MakeLab) -> None:
    kinds = [(fault, VERBS[number % 2]) for number, fault in enumerate(FAULTS)]
    results = soak(make_lab, kinds, seed=4, twins=4)
    assert len(results) == len(FAULTS)
    assert not [result for result in results if result.complaints]
