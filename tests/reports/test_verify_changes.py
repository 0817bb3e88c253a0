"""What --watch prints: what has changed from one run to the next."""

from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import ip_address

from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.model import Cause
from tasks.diagnosis.result import Verification
from tasks.reports.verify_changes import changes
from tests.builders import cluster

WHEN = datetime(2026, 11, 23, 10, 14, 16, tzinfo=timezone.utc)
FINE = Pair("worker-0", "worker-1", 4, True, "ok", 3, 0.12)
SILENT = replace(FINE, verdict="silent", received=0, rtt=None)
CAUSE = Cause("worker-1", "worker-1 does not forward", "switch it on", (SILENT,))
POD = RealPod("worker-1", ip_address("10.200.1.2"), True, ("worker-0",), ("worker-0",))
WELL = Verification(cluster(2), WHEN, pairs=(FINE,), real_pods=(POD,))
ILL = replace(
    WELL,
    pairs=(SILENT,),
    causes=(CAUSE,),
    real_pods=(replace(POD, answered=()),),
    skipped={"worker-0": "is it up?"},
    unplanned={"worker-1": "worker-1 sends packets elsewhere"},
)


def said(before: Verification, now: Verification) -> list[str]:
    return [line.partition("  ")[2] for line in changes(before, now)]


def test_what_fails_is_told_once_and_what_is_well_again_too() -> None:
    assert said(WELL, ILL) == [
        "worker-0 cannot be asked: is it up?",
        "worker-0 to worker-1, IPv4, pod: silent, was ok",
        "pod 10.200.1.2 on worker-1 answers 0 of 1 worker",
        "worker-1 does not forward -> switch it on",
        "worker-1 sends packets elsewhere",
    ]
    assert said(ILL, WELL) == [
        "worker-0 can be asked again",
        "worker-0 to worker-1, IPv4, pod: ok, was silent",
        "pod 10.200.1.2 on worker-1 answers 1 of 1 worker",
        "no longer: worker-1 does not forward",
        "no longer: worker-1 sends packets elsewhere",
    ]


def test_what_is_as_it_was_is_not_told() -> None:
    slower = replace(FINE, rtt=9.0)
    new = replace(POD, address=ip_address("10.200.1.3"))
    assert said(WELL, replace(WELL, pairs=(slower,), real_pods=(POD, new))) == []
    assert said(ILL, ILL) == []


def test_many_changes_are_counted() -> None:
    of = [replace(SILENT, target=f"worker-{n}") for n in range(1, 31)]
    pods = [replace(POD, address=ip_address(f"10.200.1.{n}"), answered=()) for n in range(2, 32)]
    lines = said(Verification(cluster(2), WHEN), replace(WELL, pairs=of, real_pods=pods))
    assert len(lines) == 2 * 21
    assert lines[20] == "and 10 more pairs changed"
    assert lines[41] == "and 10 more pods changed"
