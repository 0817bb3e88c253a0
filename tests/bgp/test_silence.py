"""Which routes BIRD keeps of a neighbor that is silent, in its configuration."""

import re

import pytest

from tasks.bgp.bird_conf import HOLD_TIME, RECOVERY, RESTART_TIME, bird_conf
from tasks.inventory.model import Bgp
from tasks.rollout.in_progress import SETTLING
from tests.builders import cluster

WHOLE = cluster(4, 1)
REFLECTED = ("worker-0", "worker-1")


def kept(bgp: Bgp, one: str, other: str) -> tuple[str, str]:
    """What a machine does with another's routes: in long-lived graceful restart, and with BFD."""
    conf = bird_conf(WHOLE, bgp, WHOLE.machine(one))
    remote = WHOLE.machine(other).internal_ips[0]
    session = conf.partition(f"protocol bgp '{remote}'")[2].partition("protocol bgp")[0]
    long_lived = re.search(r"long lived graceful restart (\w+);", session)
    bfd = re.search(r"  bfd (\w+);", session)
    return long_lived[1] if long_lived else "", bfd[1] if bfd else ""


@pytest.mark.parametrize(
    ("reflectors", "one", "other", "expected"),
    [
        ((), "worker-0", "worker-1", ("off", "on")),
        (REFLECTED, "worker-2", "worker-0", ("aware", "graceful")),  # a client keeps those
        (REFLECTED, "worker-0", "worker-2", ("on", "on")),  # asks the client to, and keeps none
        (REFLECTED, "worker-0", "worker-1", ("off", "on")),
    ],
)
def test_only_a_client_keeps_routes_of_a_silent_neighbor(
    reflectors: tuple[str, ...], one: str, other: str, expected: tuple[str, str]
) -> None:
    assert kept(Bgp(reflectors=reflectors, bfd=True), one, other) == expected
    assert kept(Bgp(reflectors=reflectors), one, other) == (expected[0], "")


def test_the_pods_of_a_reflector_itself_do_not_outlast_it() -> None:
    conf = bird_conf(WHOLE, Bgp(reflectors=REFLECTED), WHOLE.machine("worker-0"))
    assert 'if proto = "own4" then { bgp_community.add((65535, 7)); accept; }' in conf
    conf = bird_conf(WHOLE, Bgp(reflectors=REFLECTED), WHOLE.machine("worker-2"))
    assert "65535" not in conf


def test_a_machine_that_is_away_keeps_no_run_waiting_too_long() -> None:
    """BIRD gives its kernel no route before all neighbors have told theirs, or RECOVERY is over."""
    assert HOLD_TIME < RECOVERY < SETTLING / 2 < RESTART_TIME
