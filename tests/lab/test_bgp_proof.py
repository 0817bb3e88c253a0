"""The short form of `make bgp`: moves under traffic, kills, restarts, dead machines."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tasks.bgp.bird_conf import RUN
from tests.paths import PROJECT

from .bgp_kills import BGP, WAYS, WORKERS, kills
from .bgp_measures import deaths, moves, restarts
from .conftest import Lab, MakeLab, labs, tutorial
from .kit import ok, on, routing

# The last worker does not hear the confirmation.
DEAF = """import sys
from fabric.main import program
sys.path.insert(0, PROJECT)
from tasks.rollout.in_progress import RunInProgress
called = RunInProgress.keep
def call(self):
    self._running["worker-3"].close()
    return called(self)
RunInProgress.keep = call
program.run(["fab", "--search-root", PROJECT, "apply-routes", "--yes", "--no-ping",
  "--confirm-timeout", "5"])
"""


def unconfirmed(lab: Lab) -> None:
    """A run after which the last worker takes its change back alone."""
    done = subprocess.run(
        [*lab.inside, sys.executable, "-c", DEAF.replace("PROJECT", repr(str(PROJECT)))],
        cwd=lab.dir,
        env={"HOME": str(lab.home), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "worker-3 is in doubt" in ok(done, status=4)
    gone = "until [ ! -d /run/pod-routes/pending ] && [ ! -d /run/pod-routes/undoing ]"
    on(lab, "worker-3", f"timeout 60 sh -c '{gone}; do sleep 0.1; done'")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with labs(tmp_path_factory) as make:
        yield make(tutorial(WORKERS))


def test_moves_under_traffic_lose_nothing(lab: Lab) -> None:
    moved = moves(lab, rounds=1)
    assert moved.good, moved
    assert moved.log.events >= 4 * len(lab.cluster.workers)
    assert not moved.table_fulls


def test_a_bird_that_crashes_loses_nothing(lab: Lab) -> None:
    row = restarts(lab, rounds=2, seed=1, bfd=False)
    assert row.good, row


def test_the_routes_of_a_dead_worker_go_and_those_of_dead_reflectors_stay(lab: Lab) -> None:
    assert [(row.what, row.good) for row in deaths(lab, bfd=True)] == [
        ("a worker", True),
        ("both reflectors", True),
    ]


def test_kills_leave_every_machine_whole(make_lab: MakeLab) -> None:
    results = kills(make_lab, rounds=2, seed=3)
    assert [result.verb for result in results] == list(WAYS)
    assert not [result for result in results if result.complaints]


def test_a_machine_that_misses_its_confirmation_is_reached_all_the_same(lab: Lab) -> None:
    """It goes back alone; the others then needed its BIRD, or it needed theirs."""
    routing(lab, "static")
    ok(lab.fab("apply-routes", "--yes", "--no-ping"))
    for way in ("bgp", "static"):
        routing(lab, way, BGP)
        unconfirmed(lab)
        assert "12 of 12 pairs" in ok(lab.fab("verify"))
        assert "undone: not confirmed" in on(lab, "worker-3", "cat /var/lib/pod-routes/history")
        ok(lab.fab("apply-routes", "--yes", "--no-ping"))
        assert "nothing to do" in ok(lab.fab("apply-routes", "--no-ping"))
    assert "bird" not in on(lab, "worker-3", f"ls {RUN} 2>/dev/null; ip route show proto bird")
