"""Changes that take themselves back: on a twin, with everything cut off that can be."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tasks.facts.gather import question
from tasks.facts.parse import read
from tasks.planning.model import Change, MachinePlan
from tasks.rollout.carry_out import carry_out
from tasks.rollout.steps import steps
from tasks.undo.run import new_run
from tests.builders import route

from . import faults
from .conftest import Lab, MakeLab, tutorial
from .faults import ASKED, CHANGES, REBOOT, WRAPPER
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
    assert "watch" not in leftovers(lab, "worker-1")
    after = lab.tables()
    assert "nothing waits for confirmation" in ok(lab.fab("status"))
    assert "nothing to do" in ok(lab.fab("apply-routes"))
    assert lab.tables() == after


def test_pings_that_take_longer_than_the_timeout_have_all_the_time_they_take(lab: Lab) -> None:
    slow = 'sleep 7; exec /usr/bin/ping "$@"'
    on(lab, "worker-1", WRAPPER.replace("NAME", "ping").replace("BODY", slow))
    assert "6 added" in ok(lab.fab("apply-routes", *TIMEOUT))
    assert ours(lab, "worker-1") == 2


def test_hold_then_rollback_last_drops(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--hold"))
    assert "3 to be confirmed" in ok(lab.fab("rollback", "--last", "--dry-run"))
    assert "3 to be confirmed" in ok(lab.fab("status"))
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
        assert "waits for confirmation until" in " ".join(ok(done, status=1).split())
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


AT_THE_GATE = f"""mkfifo /run/here /run/gate; cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
if {CHANGES} && [ -p /run/gate ]; then
  echo here >/run/here; read -r _ </run/gate; rm /run/gate
fi
exec /usr/sbin/ip "$@"
END
chmod +x /usr/local/sbin/ip"""

AFTER_APPLY = WRAPPER.replace("NAME", "ip").replace("BODY", faults.AFTER_APPLY)

# Another hand is at work between the change and what is read back, which one `ip` may do.
AMID_APPLY = f"""cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
{CHANGES} || exec /usr/sbin/ip "$@"
rm /usr/local/sbin/ip
cat >/run/lines
grep -E '^route (add|del|replace) ' /run/lines | /usr/sbin/ip -batch -
COMMAND
grep -vE '^route (add|del|replace) ' /run/lines | exec /usr/sbin/ip "$@"
END
chmod +x /usr/local/sbin/ip"""


@pytest.mark.parametrize(
    "command",
    [
        "iptables -I INPUT -p tcp --dport 22 -j DROP",
        "/usr/sbin/ip link set eth0 down",
        "p=$$; until grep -q sshd /proc/$p/comm; do p=$(ps -o ppid= -p $p); p=${p##* }; done;"
        " kill -STOP $p",
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
[ "$2" = last ] || exec /bin/mv "$@"
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
    assert done.stdout.splitlines()[-1] == "all as before"
    assert lab.tables() == before
    on(lab, "worker-1", AFTER_APPLY.replace("COMMAND", "true"))
    silent = lab.fab("apply-routes", "--yes")  # they are silent before, now: that undoes nothing
    assert "silent all the same" in ok(silent, status=5)
    assert "; `fab verify` says why " in silent.stdout.splitlines()[-1]
    assert "nothing to do" in ok(lab.fab("apply-routes"))


def test_a_verify_that_follows_says_why_pods_are_silent(lab: Lab) -> None:
    on(lab, "worker-1", "iptables -P FORWARD DROP")
    out = ok(lab.fab("apply-routes", "verify"), status=5)
    assert "silent all the same: worker-0 to worker-1" in out
    assert "worker-1's firewall drops packets for pods" in out


def test_no_ping_leaves_that_to_verify(lab: Lab) -> None:
    on(lab, "worker-1", "iptables -P FORWARD DROP")
    ok(lab.fab("apply-routes", "--no-ping"))
    ok(lab.fab("verify"), status=5)


def test_a_changed_way_back_is_taken_back(lab: Lab) -> None:
    before = lab.tables()
    on(
        lab,
        "worker-1",
        AMID_APPLY.replace("COMMAND", "/usr/sbin/ip route add 203.0.113.1/32 via 10.240.0.6"),
    )
    done = lab.fab("apply-routes")
    assert "the way back to you" in ok(done, status=3)
    on(lab, "worker-1", "ip route del 203.0.113.1/32")
    assert lab.tables() == before


@pytest.mark.parametrize(
    ("blind", "status", "said"),
    [
        ("-s /run/pod-routes/pending/pid", 3, "ip does not show what came of it"),
        ("1", 1, "no undo"),
    ],
    ids=["after the change", "before it"],
)
def test_what_ip_does_not_show_is_not_taken_for_well(
    lab: Lab, blind: str, status: int, said: str
) -> None:
    before = lab.tables()
    on(lab, "worker-1", BLIND_ONCE.replace("BLIND", blind))
    out = ok(lab.fab("apply-routes"), status=status)
    assert said in out
    assert lab.tables() == before
    assert "6 added" in ok(lab.fab("apply-routes"))


BLIND_ONCE = """cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
if [ "$1 $2 $3" = "-4 -N -details" ] && [ BLIND ]; then rm /usr/local/sbin/ip; exit 1; fi
exec /usr/sbin/ip "$@"
END
chmod +x /usr/local/sbin/ip"""


def test_a_full_run_changes_nothing(lab: Lab) -> None:
    before = lab.tables()
    on(
        lab,
        "worker-1",
        "mkdir -p /run/pod-routes; mount -t tmpfs -o size=4k none /run/pod-routes;"
        " dd if=/dev/zero of=/run/pod-routes/filler bs=4096 count=1 2>/dev/null; true",
    )
    done = lab.fab("apply-routes")
    out = ok(done, status=1)
    assert "worker-1: " in out
    assert lab.tables() == before
    on(lab, "worker-1", "mount -o remount,ro /run/pod-routes")
    ok(lab.fab("apply-routes"), status=1)
    assert lab.tables() == before
    on(lab, "worker-1", "umount /run/pod-routes")
    ok(lab.fab("apply-routes"))


def test_a_change_of_which_nothing_can_be_noted_is_told_of(lab: Lab) -> None:
    """Without the note nobody would know later what was lost, and `fab watch` put it back."""
    log = "/var/lib/pod-routes"
    full = f"mount -t tmpfs -o size=4k none {log}; head -c 4096 /dev/zero >{log}/filler"
    on(lab, "worker-1", f"mkdir -p {log}; {full} 2>/dev/null; true")
    out = ok(lab.fab("apply-routes"), status=4)
    assert f"worker-1: no record of it can be written to {log}" in out
    assert ours(lab, "worker-1") == 2
    on(lab, "worker-1", f"umount {log}")
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
            " echo $(( ${up%.*} > $(tail -n 1 /run/pod-routes/pending/deadline) ))",
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
    forged = r"2026-01-01T00:00:00Z\t20260101T000000.1\tann\t2 add\t\033[2Jkept"
    on(lab, "worker-1", f"printf '{forged}\\n' >>/var/lib/pod-routes/history")
    out = ok(lab.fab("history"))
    assert "[2Jkept" in out
    assert "\033" not in out


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


def test_the_undo_comes_whatever_befalls_the_machine_meanwhile(lab: Lab) -> None:
    """Another hand's route; /run read-only; a watchdog that died, whose number another one has."""
    on(lab, "worker-1", "mkdir -p /run/pod-routes && mount -t tmpfs none /run/pod-routes")
    before = lab.tables()
    ok(lab.fab("apply-routes", "--hold", *TIMEOUT))
    on(lab, "worker-0", "ip route add 10.200.77.0/24 via 10.240.0.98")
    on(lab, "worker-1", "mount -o remount,ro /run/pod-routes")
    on(lab, "worker-2", "kill -9 $(cat /run/pod-routes/pending/pid)")
    on(lab, "worker-2", "cat /run/sshd.pid >/run/pod-routes/pending/pid")
    wait_for(lambda: ours(lab, "worker-0") == 0, "worker-0 was not taken back")
    wait_for(lambda: ours(lab, "worker-1") == 0, "worker-1 was not taken back")
    on(lab, "worker-1", "mount -o remount,rw /run/pod-routes")
    assert "nothing waits" in ok(lab.fab("status"))
    on(lab, "worker-0", "ip route del 10.200.77.0/24")
    assert lab.tables() == before
    assert "NOT undone" not in ok(lab.fab("history"))
    assert "6 added" in ok(lab.fab("apply-routes"))


def test_another_hand_on_the_very_routes_is_told_and_blocks_nobody_for_good(lab: Lab) -> None:
    before = lab.tables()
    theirs = "10.200.1.0/24 via 10.240.0.98"
    on(lab, "worker-0", AMID_APPLY.replace("COMMAND", f"/usr/sbin/ip route replace {theirs}"))
    done = lab.fab("apply-routes")
    assert "NOT as before: worker-0" in ok(done, status=4).splitlines()[-1]
    assert "/run/pod-routes/undoing" in ok(lab.fab("apply-routes"), status=1)
    assert "does not lead back" in lab.fab("rollback", "--last").stderr
    on(lab, "worker-0", f"ip route del {theirs}")
    assert "nothing waits" in ok(lab.fab("status"))
    assert lab.tables() == before
    trail = on(lab, "worker-0", "cat /var/lib/pod-routes/history")
    assert trail.count("\tNOT undone: another machine failed") == 1
    assert trail.count("\tundone: ") == 1


def arming(lab: Lab, timeout: int, via: str = "10.240.0.7") -> str:
    """The script that gives worker-0 one route, which it takes back after so many seconds."""
    networks = lab.cluster.pod_networks
    asking = f"{question(networks, [], False)}\nmain\n"
    asked = lab.twin.run("worker-0", ["sh", "-c", asking], check=True)
    put = route(f"10.200.1.0/24 via {via} dev enp6s0 proto 214")
    made = steps(MachinePlan("worker-0", (Change(put),)), "run")
    run = new_run(networks, timeout)
    script = carry_out(made, read(asked.stdout).snapshot, run, [], "1 add")
    return f"{script}\nmain 3<&0 </dev/null\n"


def test_an_answer_that_nobody_reads_does_not_hold_up_the_undo(lab: Lab) -> None:
    on(
        lab,
        "worker-0",
        "seq 5000 | sed 's/.*/route add 192.0.2.1 table &1 dev lo/' | ip -batch -",
    )
    with subprocess.Popen(
        [*lab.twin.inside("worker-0"), "sh", "-c", arming(lab, 3)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as unread:
        assert unread.stdin is not None
        unread.stdin.write(b"go\n")
        unread.stdin.flush()
        wait_for(lambda: ours(lab, "worker-0") == 1, "it was not carried out")
        wait_for(lambda: ours(lab, "worker-0") == 0, "the undo did not come")
        assert unread.poll() is None
        unread.communicate()


@contextmanager
def waiting(
    lab: Lab, timeout: int, *words: str, via: str = "10.240.0.7"
) -> Iterator["subprocess.Popen[str]"]:
    """The script of `arming` on worker-0, told these words, and waiting for the next."""
    with subprocess.Popen(
        [*lab.twin.inside("worker-0"), "sh", "-s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdin is not None
        assert script.stdout is not None
        for line in (arming(lab, timeout, via), *(f"{word}\n" for word in words)):
            script.stdin.write(line)
            script.stdin.flush()
            while script.stdout.readline() != "== ready\n":
                assert script.poll() is None
        yield script


@pytest.mark.parametrize("via", ["10.240.0.7", "192.0.2.1"], ids=["done", "refused"])
def test_a_line_that_ip_refuses_is_known_where_nothing_can_be_written(lab: Lab, via: str) -> None:
    before = lab.tables()
    on(lab, "worker-0", "mkdir -p /run/pod-routes; mount -t tmpfs -o size=256k no /run/pod-routes")
    with waiting(lab, 60, via=via) as script:
        fill = "dd if=/dev/zero of=/run/pod-routes/filler bs=1k 2>/dev/null; true"
        on(lab, "worker-0", fill)
        said, _ = script.communicate("go\n")
    fine = via == "10.240.0.7"
    assert ("== done" in said) == fine
    assert ("== undone" in said) != fine
    assert ours(lab, "worker-0") == fine
    on(lab, "worker-0", "rm -f /run/pod-routes/filler")
    last = ok(lab.fab("rollback", "--last"))
    assert last == "nothing to do: no machine remembers a run\n" or fine
    on(lab, "worker-0", "umount /run/pod-routes")
    assert lab.tables() == before


def test_what_waits_on_a_connection_that_does_not_end_can_be_taken_back(lab: Lab) -> None:
    before = lab.tables()
    with waiting(lab, 60, "go") as script:
        assert ours(lab, "worker-0") == 1
        assert "all as before" in ok(lab.fab("rollback", "--last"))
        assert lab.tables() == before
        assert script.poll() is None
        said, _ = script.communicate("keep\n")
    assert "== fired" in said
    assert lab.tables() == before


def nothing_waits(lab: Lab) -> bool:
    """Whether worker-0 has no change that waits."""
    return on(lab, "worker-0", "ls -d /run/pod-routes/pending 2>/dev/null || true") == ""


def test_who_waits_to_go_keeps_the_lock_when_the_deadline_is_pushed(lab: Lab) -> None:
    before = lab.tables()
    with waiting(lab, 60, "push") as script:
        free = lab.twin.run("worker-0", ["flock", "-n", "/run/pod-routes/lock", "true"])
        assert free.returncode == 1
        said, _ = script.communicate("")  # the operator has gone
    assert "done" not in said
    assert nothing_waits(lab)
    assert lab.tables() == before


@pytest.mark.parametrize("words", [(), ("go",), ("go", "push")])
def test_who_is_never_told_to_go_on_does_not_keep_the_machine(
    lab: Lab, words: tuple[str, ...]
) -> None:
    """The operator's machine is gone, and its connection does not end."""
    before = lab.tables()
    with waiting(lab, 1, *words) as script:
        wait_for(lambda: nothing_waits(lab), "the change waits for ever")
        assert words or script.wait(timeout=30) == -signal.SIGKILL
        script.communicate("")
    assert lab.tables() == before
    ok(lab.fab("apply-routes"))


def test_a_command_that_comes_after_its_run_has_ended_does_nothing(lab: Lab) -> None:
    """It hung before it could take the lock; the operator's run has given it up meanwhile."""
    before = lab.tables()
    on(lab, "worker-1", AT_THE_LOCK)
    done = lab.fab("-T", "2", "apply-routes")
    assert ok(done, status=1).splitlines()[-1] == "nothing was changed"
    on(lab, "worker-1", "echo go | timeout 30 tee /run/gate")
    settled = "timeout 30 sh -c 'while pgrep -f ^sh.-s; do sleep 0.05; done'"
    on(lab, "worker-1", settled)
    assert lab.tables() == before
    assert "worker-1" not in ok(lab.fab("history"))


AT_THE_LOCK = f"""mkfifo /run/gate; cat >/usr/local/sbin/flock <<'END'
#!/bin/sh
{ASKED}
rm /usr/local/sbin/flock
read -r _ </run/gate
exec /usr/bin/flock "$@"
END
chmod +x /usr/local/sbin/flock"""


def test_a_confirmation_keeps_all_machines_or_none(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab("apply-routes", "--hold"))
    on(lab, "worker-1", REBOOT)
    done = lab.fab("confirm")
    assert "not armed any more on worker-1" in done.stderr
    ok(done, status=1)
    assert "2 to be confirmed" in ok(lab.fab("status"))
    ok(lab.fab("rollback", "--last"))
    assert lab.tables() == before
    ok(lab.fab("apply-routes", "--hold"))
    on(lab, "worker-1", "iptables -I INPUT -p tcp --dport 22 -j REJECT")
    ok(lab.fab("confirm", "--skip-unreachable"), status=4)
    on(lab, "worker-1", "iptables -F INPUT")
    assert "kept on 1 machine" in ok(lab.fab("confirm"))


def test_an_interrupted_confirmation_is_ended_and_says_what_was_kept(lab: Lab) -> None:
    ok(lab.fab("apply-routes", "--hold"))
    on(lab, "worker-1", AT_THE_RENAME)
    with lab.popen("confirm") as fab:
        on(lab, "worker-1", "timeout 30 cat /run/here")
        fab.send_signal(signal.SIGINT)
        on(lab, "worker-1", "echo go | timeout 30 tee /run/gate")
        out, errors = fab.communicate(timeout=60)
    assert "kept on 3 machines" in out, errors
    assert "interrupted" in errors


AT_THE_RENAME = """mkfifo /run/here /run/gate; cat >/usr/local/sbin/mv <<'END'
#!/bin/sh
if [ "$2" = last ]; then
  rm /usr/local/sbin/mv
  echo here >/run/here; read -r _ </run/gate
fi
exec /bin/mv "$@"
END
chmod +x /usr/local/sbin/mv"""
