"""Changes that take themselves back: on a twin, with everything cut off that can be."""

import os
import time
from collections.abc import Callable

import pytest

from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on

TIMEOUT = ("--confirm-timeout", "5")  # the shortest there is


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(tutorial())


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds; a change takes itself back within its five seconds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def ours(lab: Lab, machine: str) -> int:
    """How many routes of ours a machine has."""
    return len(on(lab, machine, "ip -o route show proto 214").splitlines())


def leftovers(lab: Lab, machine: str) -> str:
    """What a machine keeps of runs, and watchdogs that are alive."""
    return on(
        lab,
        machine,
        "ls /run/pod-routes /run/pod-routes/displaced; "
        "ps ax -o args | grep '[p]ending/watch' || true",
    )


def test_hold_then_confirm_keeps(lab: Lab) -> None:
    out = ok(lab.fab("apply-routes", "--hold"))
    assert "held until" in out.splitlines()[-1]
    assert "2 add, until" in ok(lab.fab("status"))
    assert "kept on 3 machines" in ok(lab.fab("confirm"))
    after = lab.tables()
    assert "nothing waits for confirmation" in ok(lab.fab("status"))
    assert "nothing to do" in ok(lab.fab("apply-routes"))
    assert lab.tables() == after
    assert "watch" not in leftovers(lab, "worker-1")


def test_hold_then_rollback_last_drops(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--hold"))
    assert "all as before" in ok(lab.fab("rollback", "--last"))
    assert lab.tables() == before
    assert "undone: dropped" in ok(lab.fab("history"))


def test_what_nobody_confirms_takes_itself_back_and_a_late_confirm_says_so(lab: Lab) -> None:
    before = lab.tables()
    on(lab, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.99 proto static mtu 1400")
    with_foreign = lab.tables()
    ok(lab.fab("apply-routes", "--hold", "--replace", "--yes", *TIMEOUT))
    assert ours(lab, "worker-0") == 2
    wait_for(lambda: lab.tables() == with_foreign, "the undo did not come")
    late = lab.fab("confirm")
    ok(late, status=1)
    assert "undone: not confirmed" in late.stderr
    wait_for(lambda: "watch" not in leftovers(lab, "worker-0"), "a watchdog is left")
    assert (
        leftovers(lab, "worker-0")
        == "/run/pod-routes:\ndisplaced\nlock\n\n/run/pod-routes/displaced:\n"
    )
    on(lab, "worker-0", "ip route del 10.200.1.0/24")
    assert lab.tables() == before


def test_what_waits_for_confirmation_is_in_nobodys_way(lab: Lab) -> None:
    """Another run is refused up front, told whose change it is and until when."""
    ok(lab.fab("apply-routes", "--hold"))
    held = lab.tables()
    for command in (("apply-routes",), ("rollback",)):
        done = lab.fab(*command)
        assert "waits for confirmation until" in ok(done, status=1)
    assert lab.tables() == held
    ok(lab.fab("confirm"))


def test_the_undo_outlives_the_operator(lab: Lab) -> None:
    """kill -9 when the first machine is changed: it goes back by itself."""
    before = lab.tables()
    on(lab, "worker-1", AT_THE_GATE)
    with lab.popen("apply-routes", *TIMEOUT) as fab:
        on(lab, "worker-1", "timeout 30 cat /run/here")
        os.kill(fab.pid, 9)
    assert ours(lab, "worker-0") == 2
    wait_for(lambda: ours(lab, "worker-0") == 0, "worker-0 was not taken back")
    on(lab, "worker-1", "echo go | timeout 30 tee /run/gate")
    wait_for(lambda: lab.tables() == before, "worker-1 was not taken back")
    assert "6 added" in ok(lab.fab("apply-routes"))


AT_THE_GATE = """mkfifo /run/here /run/gate; cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
if [ "$1" = -batch ] && [ -p /run/gate ]; then
  echo here >/run/here; read -r _ </run/gate; rm /run/gate
fi
exec /usr/sbin/ip "$@"
END
chmod +x /usr/local/sbin/ip"""

AFTER_APPLY = """cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
/usr/sbin/ip "$@"; status=$?
if [ "$1" = -batch ]; then rm /usr/local/sbin/ip; COMMAND; fi
exit $status
END
chmod +x /usr/local/sbin/ip"""


@pytest.mark.parametrize(
    "command",
    [
        "iptables -I INPUT -p tcp --dport 22 -j DROP",
        "/usr/sbin/ip link set eth0 down",
        "kill -STOP $(ps -o ppid= -p $(ps -o ppid= -p $PPID))",
    ],
    ids=["a firewall drops ssh", "the link goes down", "sshd hangs"],
)
def test_a_machine_that_is_lost_goes_back_by_itself(lab: Lab, command: str) -> None:
    before = lab.tables()
    on(lab, "worker-1", AFTER_APPLY.replace("COMMAND", command))
    done = lab.fab("-t", "2", "-T", "4", "apply-routes", *TIMEOUT)
    out = ok(done, status=4)
    assert out.splitlines()[-1].startswith("unknown: worker-1, as before by ")
    assert ours(lab, "worker-0") == ours(lab, "worker-2") == 0
    wait_for(lambda: ours(lab, "worker-1") == 0, "worker-1 was not taken back")
    on(lab, "worker-1", "iptables -F; ip link set eth0 up; pkill -CONT sshd; true")
    on(lab, "worker-1", "ip route replace default via 203.0.113.1 dev eth0")
    assert lab.tables() == before


@pytest.mark.parametrize(
    ("rename", "routes", "trail"),
    [('/bin/mv "$@"', 2, "kept"), ("false", 0, "undone: not confirmed")],
    ids=["it was confirmed", "it was not"],
)
def test_a_machine_lost_at_its_confirmation_is_in_doubt(
    lab: Lab, rename: str, routes: int, trail: str
) -> None:
    """The others are kept by then; what became of this one is found by whoever asks it next."""
    on(lab, "worker-1", AT_THE_CONFIRMATION.replace("RENAME", rename))
    out = ok(lab.fab("-t", "2", "-T", "4", "apply-routes", *TIMEOUT), status=4)
    assert "worker-1" in out.splitlines()[-1]
    assert "confirmed or not" in out
    wait_for(lambda: "watch" not in leftovers(lab, "worker-1"), "a watchdog is left")
    assert [ours(lab, f"worker-{n}") for n in range(3)] == [2, routes, 2]
    on(lab, "worker-1", "iptables -F OUTPUT")
    assert trail in ok(lab.fab("history"))
    again = ok(lab.fab("apply-routes"))
    assert ("nothing to do" if routes else "2 added") in again
    assert [ours(lab, f"worker-{n}") for n in range(3)] == [2, 2, 2]


AT_THE_CONFIRMATION = """cat >/usr/local/sbin/mv <<'END'
#!/bin/sh
[ "$2" = kept ] || exec /bin/mv "$@"
rm /usr/local/sbin/mv
iptables -I OUTPUT -p tcp --sport 22 -j DROP
RENAME
END
chmod +x /usr/local/sbin/mv"""


def test_a_change_that_silences_pods_is_taken_back(lab: Lab) -> None:
    """One pair's route is replaced; on the way worker-2 stops forwarding to worker-0."""
    ok(lab.fab("apply-routes"))
    on(lab, "worker-1", "ip route replace 10.200.2.0/24 via 10.240.0.99 proto 214")
    before = lab.tables()
    on(lab, "worker-1", AFTER_APPLY.replace("COMMAND", "iptables -P FORWARD DROP"))
    done = lab.fab("apply-routes", "--yes")
    out = ok(done, status=3)
    assert "gone silent" in out
    assert "worker-0 to worker-1" in out
    assert lab.tables() == before
    on(lab, "worker-1", AFTER_APPLY.replace("COMMAND", "true"))
    silent = lab.fab("apply-routes", "--yes")  # they are silent before, now: that undoes nothing
    assert "silent all the same" in ok(silent, status=5)
    assert "nothing to do" in ok(lab.fab("apply-routes"))


def test_no_ping_leaves_that_to_verify(lab: Lab) -> None:
    on(lab, "worker-1", "iptables -P FORWARD DROP")
    ok(lab.fab("apply-routes", "--no-ping"))
    ok(lab.fab("verify"), status=5)


def test_a_changed_way_back_is_taken_back(lab: Lab) -> None:
    before = lab.tables()
    on(
        lab,
        "worker-1",
        AFTER_APPLY.replace("COMMAND", "/usr/sbin/ip route add 203.0.113.1/32 via 10.240.0.6"),
    )
    done = lab.fab("apply-routes")
    assert "the way back to you" in ok(done, status=3)
    on(lab, "worker-1", "ip route del 203.0.113.1/32")
    assert lab.tables() == before


def test_a_full_run_changes_nothing(lab: Lab) -> None:
    before = lab.tables()
    on(
        lab,
        "worker-1",
        "mkdir -p /run/pod-routes; mount -t tmpfs -o size=4k none /run/pod-routes;"
        " dd if=/dev/zero of=/run/pod-routes/filler bs=4096 count=1 2>/dev/null; true",
    )
    done = lab.fab("apply-routes")
    out = ok(done, status=3)
    assert "worker-1: " in out
    assert lab.tables() == before
    on(lab, "worker-1", "mount -o remount,ro /run/pod-routes")
    ok(lab.fab("apply-routes"), status=3)
    assert lab.tables() == before
    on(lab, "worker-1", "umount /run/pod-routes")
    ok(lab.fab("apply-routes"))


def test_an_overdue_change_without_its_watchdog_is_undone_by_the_next_run(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--hold", *TIMEOUT))
    for machine in lab.cluster.machines:
        on(lab, machine.name, "kill -9 $(cat /run/pod-routes/pending/pid)")
    wait_for(lambda: overdue(lab), "never overdue")
    assert lab.tables() != before
    assert "6 added" in ok(lab.fab("apply-routes"))
    ok(lab.fab("rollback"))
    assert lab.tables() == before


def overdue(lab: Lab) -> bool:
    """Whether the deadline on worker-2 has passed."""
    return (
        on(
            lab,
            "worker-2",
            "read -r up _ </proc/uptime;"
            " echo $(( ${up%.*} > $(cat /run/pod-routes/pending/deadline) ))",
        ).strip()
        == "1"
    )


def test_rollback_last_takes_back_only_the_last_run(lab: Lab) -> None:
    ok(lab.fab("apply-routes", "--limit", "worker-0"))
    first = lab.tables()
    on(
        lab,
        "worker-1",
        "ip route add 10.200.0.0/24 proto static nexthop via 10.240.0.98 nexthop via 10.240.0.99",
    )
    second = lab.tables()
    ok(lab.fab("apply-routes", "--replace", "--yes"))
    assert ours(lab, "worker-1") == ours(lab, "worker-2") == 2
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == second
    assert "nothing to do" in ok(lab.fab("rollback", "--last"))
    on(lab, "worker-1", "ip route del 10.200.0.0/24")
    assert lab.tables() == first


def test_the_trail_outlives_rollback(lab: Lab) -> None:
    ok(lab.fab("apply-routes", "rollback"))
    out = ok(lab.fab("history"))
    assert "2 add" in out
    assert "2 delete" in out
    assert "from 203.0.113.1" in out


def test_two_operators_at_once(lab: Lab) -> None:
    """However they meet: the cluster is whole, and who did not get through is told why."""
    for _ in range(5):
        with lab.popen("apply-routes") as one, lab.popen("apply-routes") as other:
            said = [run.communicate(timeout=60) for run in (one, other)]
        for run, (out, errors) in zip((one, other), said, strict=True):
            assert "Traceback" not in errors
            assert run.returncode in (0, 1, 3), out + errors
        counts = {ours(lab, m.name) for m in lab.cluster.machines}
        assert counts in ({0}, {2}), said
        ok(lab.fab("rollback"))


def test_a_rollback_that_silences_pods_is_taken_back(lab: Lab) -> None:
    """worker-0 and worker-1 reach each other by hand-made routes, which rollback leaves."""
    on(lab, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.7")
    on(lab, "worker-1", "ip route add 10.200.0.0/24 via 10.240.0.6")
    ok(lab.fab("apply-routes"))
    before = lab.tables()
    on(lab, "worker-1", AFTER_APPLY.replace("COMMAND", "iptables -P FORWARD DROP"))
    out = ok(lab.fab("rollback"), status=3)
    assert "gone silent: worker-0 to worker-1, worker-1 to worker-0" in out
    assert lab.tables() == before
    on(lab, "worker-1", "iptables -P FORWARD ACCEPT")
    ok(lab.fab("rollback"))
