"""From static routes to BGP and back on a twin with real BIRDs, judged by the kernels' tables."""

import re

import pytest

from tasks.bgp.bird_conf import METRIC, RUN

from .conftest import Lab, MakeLab, tutorial
from .kit import dual_stack, ok, on, routing

BY_BGP = f"proto bird scope global metric {METRIC}"
Tables = dict[str, list[str]]

CHANGE = ("apply-routes", "--yes")


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(tutorial())


def by_bgp(static: Tables) -> Tables:
    """The tables as they are when each static route of this tool has passed to BGP."""
    own = re.compile(r"proto 214 scope global( metric 1024)?")
    return {name: sorted(own.sub(BY_BGP, line) for line in lines) for name, lines in static.items()}


def left(lab: Lab) -> dict[str, str]:
    """What this tool's BIRD has left on each machine: files and processes."""
    look = f"ls -d {RUN} /etc/pod-routes 2>/dev/null; pgrep -x bird || :"
    return {machine.name: on(lab, machine.name, look) for machine in lab.cluster.machines}


def test_there_and_back_with_both_families_and_a_controller(make_lab: MakeLab) -> None:
    lab = make_lab(dual_stack(2))
    before = lab.tables()
    ok(lab.fab("apply-routes"))
    static = lab.tables()
    routing(lab, "bgp", 'password_file = "secret"')
    shown = ok(lab.fab("plan"))
    assert "worker-1, controller-0" in shown
    assert not (lab.dir / "secret").exists()
    done = ok(lab.fab(*CHANGE))
    assert "0 of" in done
    assert "BGP begun on 3 machines" in done
    assert lab.tables() == by_bgp(static)
    assert (lab.dir / "secret").stat().st_mode & 0o777 == 0o600
    assert "nothing to do on 3 machines" in ok(lab.fab(*CHANGE))
    assert "4 of 4 pairs" in ok(lab.fab("verify"))
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == static
    assert "nothing to do" in ok(lab.fab("rollback", "--last"))  # a rollback is not taken back
    ok(lab.fab(*CHANGE))
    routing(lab, "static")
    ok(lab.fab(*CHANGE))
    assert lab.tables() == static
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == by_bgp(static)
    routing(lab, "bgp", 'password_file = "secret"')
    ok(lab.fab(*CHANGE))
    ok(lab.fab("rollback"))
    assert lab.tables() == before
    assert set(left(lab).values()) == {""}


def test_a_cluster_may_stand_half_way(lab: Lab) -> None:
    """A machine alone keeps its static routes, and goes on announcing while others need it."""
    ok(lab.fab("apply-routes"))
    static = lab.tables()
    routing(lab, "bgp")
    for name in ("worker-0", "worker-1"):
        ok(lab.fab(*CHANGE, "--limit", name))
        assert {n: [x for x in t if BY_BGP not in x] for n, t in lab.tables().items()} == static
    assert "6 of 6 pairs" in ok(lab.fab("verify"))
    ok(lab.fab(*CHANGE))
    assert lab.tables() == by_bgp(static)
    routing(lab, "static")
    stays = lab.fab(*CHANGE, "--limit", "worker-0")
    assert "BIRD stays" in stays.stderr
    ok(stays)
    assert {n: t for n, t in lab.tables().items() if n != "worker-0"} == {
        n: t for n, t in by_bgp(static).items() if n != "worker-0"
    }
    assert "6 of 6 pairs" in ok(lab.fab("verify"))
    ok(lab.fab(*CHANGE))
    assert lab.tables() == static


def test_a_worker_that_joins_and_one_that_leaves(lab: Lab) -> None:
    routing(lab, "bgp")
    ok(lab.fab(*CHANGE))
    whole = lab.tables()
    ok(lab.fab("drain", "worker-2", "--yes", "--force"))
    assert not any("10.200.2.0/24 via" in x for t in lab.tables().values() for x in t)
    assert not any("via" in x and "10.200." in x for x in lab.tables()["worker-2"])
    done = ok(lab.fab(*CHANGE))
    assert "BGP begun on 1 machine" in done
    assert lab.tables() == whole


def test_a_new_password_and_bfd_lose_nothing(lab: Lab) -> None:
    routing(lab, "bgp", 'password_file = "secret"')
    ok(lab.fab(*CHANGE))
    whole = lab.tables()
    (lab.dir / "secret").write_text("another\n")
    assert "static routes stand in" in ok(lab.fab("plan"))
    done = ok(lab.fab(*CHANGE))
    assert "pings between pods during the change: 0 of" in done
    assert lab.tables() == whole
    routing(lab, "bgp", 'password_file = "secret"\nbfd = true')
    done = ok(lab.fab(*CHANGE))
    assert "pings between pods during the change: 0 of" in done
    assert lab.tables() == whole
    (lab.dir / "secret").unlink()
    refused = lab.fab(*CHANGE)
    assert "copy the file from where the last run was made" in refused.stderr
    ok(refused, 1)
    assert lab.tables() == whole


def test_routes_that_do_not_come_leave_all_as_it_was(lab: Lab) -> None:
    ok(lab.fab("apply-routes"))
    static = lab.tables()
    routing(lab, "bgp")
    on(lab, "worker-1", "iptables -A INPUT -p tcp --dport 179 -j DROP")
    on(lab, "worker-1", "iptables -A INPUT -p tcp --sport 179 -j DROP")
    done = lab.fab(*CHANGE, "--confirm-timeout", "8")
    assert "worker-1 lacks 10.200.0.0/24" in ok(done, 3)
    assert "all as before" in done.stdout
    assert lab.tables() == static
    assert set(left(lab).values()) == {""}


def test_a_held_move_is_dropped_or_kept(lab: Lab) -> None:
    ok(lab.fab("apply-routes"))
    static = lab.tables()
    routing(lab, "bgp")
    ok(lab.fab(*CHANGE, "--hold"))
    assert lab.tables() == by_bgp(static)
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == static
    assert set(left(lab).values()) == {""}
    ok(lab.fab(*CHANGE, "--hold"))
    ok(lab.fab("confirm"))
    assert lab.tables() == by_bgp(static)


def test_an_operator_who_dies_leaves_all_as_before(lab: Lab) -> None:
    """Killed once BIRD is there: the machines take everything back."""
    ok(lab.fab("apply-routes"))
    static = lab.tables()
    routing(lab, "bgp")
    with lab.popen(*CHANGE, "--no-ping", "--confirm-timeout", "5") as operator:
        on(lab, "worker-2", f"timeout 30 sh -c 'until [ -e {RUN}/bird.ctl ]; do sleep 0.02; done'")
        operator.kill()
    for machine in lab.cluster.machines:
        ended = "timeout 60 sh -c 'while [ -d /run/pod-routes/pending ] || "
        on(lab, machine.name, f"{ended}[ -d /run/pod-routes/undoing ]; do sleep 0.1; done'")
    assert lab.tables() == static
    assert set(left(lab).values()) == {""}
