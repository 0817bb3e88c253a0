"""The short form of `make bgp`: moves under traffic, kills, restarts, dead machines."""

import os
import subprocess
import sys

from tasks.bgp.bird_conf import RUN
from tests.paths import PROJECT

from .bgp_kills import BGP
from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on, routing

# The last worker does not hear the confirmation.
DEAF = """import sys
from fabric.main import program
sys.path.insert(0, PROJECT)
from tasks.rollout import transaction
called = transaction._Rollout.keep
def call(self):
    self._running["worker-3"].close()
    return called(self)
transaction._Rollout.keep = call
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


def test_a_machine_that_misses_its_confirmation_is_reached_all_the_same(make_lab: MakeLab) -> None:
    """It goes back alone; the others then needed its BIRD, or it needed theirs."""
    lab = make_lab(tutorial(4))
    ok(lab.fab("apply-routes"))
    for way in ("bgp", "static"):
        routing(lab, way, BGP)
        unconfirmed(lab)
        assert "12 of 12 pairs" in ok(lab.fab("verify"))
        assert "undone: not confirmed" in on(lab, "worker-3", "cat /var/lib/pod-routes/history")
        ok(lab.fab("apply-routes", "--yes", "--no-ping"))
        assert "nothing to do" in ok(lab.fab("apply-routes", "--no-ping"))
    assert "bird" not in on(lab, "worker-3", f"ls {RUN} 2>/dev/null; ip route show proto bird")
