"""What is said of a plan that was tried on a copy."""

from dataclasses import replace

from tasks.connectivity.verdict import Pair
from tasks.diagnosis.model import Cause
from tasks.foresight.model import Foresight
from tasks.reports.foresight import foresight_json, foresight_report

GOOD = Pair("worker-0", "worker-1", 4, from_pod=True, verdict="ok")
BAD = Pair("worker-1", "worker-0", 4, from_pod=True, verdict="silent")
HOST = replace(GOOD, from_pod=False)
CAUSE = Cause("worker-0", "worker-0 does not forward IPv4", "fab apply-routes", (BAD,))


def test_all_is_well_in_one_line() -> None:
    seen = Foresight([GOOD, HOST], [], {})
    assert seen.ok
    assert foresight_report(seen) == (
        "after this change 1 of 1 pairs will answer; machine to pod: 1 of 1"
    )
    many = Foresight([replace(GOOD, source=f"w{n}") for n in range(2450)], [], {}, skipped=["w"])
    assert foresight_report(many).startswith("after this change 2,450 of 2,450 pairs will answer;")


def test_what_will_be_silent_and_why_and_what_is_lost() -> None:
    seen = Foresight([GOOD, BAD], [CAUSE], {}, before=[replace(BAD, verdict="ok"), GOOD])
    assert not seen.ok
    assert foresight_report(seen).splitlines() == [
        "after this change 1 of 2 pairs will answer; machine to pod: 0 of 0",
        "not: worker-0 does not forward IPv4 (1 pair)",
        "  -> fab apply-routes",
        "1 pair that answers now would not: worker-1's pods to worker-0's, IPv4",
    ]
    assert Foresight([BAD], [CAUSE], {}, before=[BAD]).lost == []


def test_a_pair_that_only_lacks_a_proof_is_not_lost() -> None:
    masked = replace(GOOD, verdict="masqueraded")
    seen = Foresight([masked], [], {}, before=[GOOD])
    assert (seen.ok, seen.lost) == (False, [])
    assert "not: 1 pair: the routes are not proven" in foresight_report(seen)


def test_a_pair_in_doubt_is_neither() -> None:
    seen = Foresight([GOOD, BAD], [CAUSE], {BAD: "not copied of worker-1: wg0", GOOD: "the same"})
    assert seen.ok
    assert foresight_report(seen).splitlines() == [
        "after this change 0 of 2 pairs will answer; machine to pod: 0 of 0",
        "cannot say of 1 pair: not copied of worker-1: wg0",
        "cannot say of 1 pair: the same",
    ]
    pairs = foresight_json(seen)["pairs"]
    assert isinstance(pairs, list)
    assert [p["answers"] for p in pairs] == [None, None]


def test_causes_that_no_pair_shows_stay() -> None:
    cut = Cause("worker-0", "worker-0 sends a part of worker-1's pods elsewhere", "", ())
    seen = Foresight([GOOD], [cut], {})
    assert not seen.ok
    assert "not: worker-0 sends a part" in foresight_report(seen)
