"""What --foresee says before a change, and that the machines are only read for it.

docs/rehearse.md has what was foreseen of random clusters, by a command: prove_foresight.py.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Lab
from .kit import ok, on, routing

pytestmark = pytest.mark.timeout(300)  # silent pairs are waited for, on two copies and by trials

NAMES = ("worker-0", "worker-1", "worker-2")
# Counts the pings that a machine gets, sends and passes on.
COUNTING = """nft 'add table inet seen
add chain inet seen in { type filter hook prerouting priority -400; }
add chain inet seen out { type filter hook output priority -400; }
add rule inet seen in icmp type { echo-request, echo-reply } counter
add rule inet seen out icmp type { echo-request, echo-reply } counter'"""
SEEN = "nft list table inet seen | grep -c 'counter packets 0'"
VIA_OTHER = "ip route replace 10.200.1.0/24 via 10.240.0.8"  # which forwards
MAC = "cat /sys/class/net/enp6s0/address"
REFUSES = "iptables -t raw -A PREROUTING -d 10.200.1.0/24 -m mac --mac-source {} -j DROP"
UNKNOWN = "iptables -A FORWARD -s 10.99.0.0/16 -m comment --comment=-x -j ACCEPT"
TUNNEL = """ip link add vx type vxlan id 5 dstport 8472 dev enp6s0; ip link set vx up
ip route add 10.200.2.0/24 dev vx table 7; ip rule add to 10.200.2.0/24 fwmark 7 lookup 7"""
CLEAN = """iptables -F; iptables -t raw -F; iptables -P FORWARD ACCEPT; nft delete table inet seen
ip route flush root 10.200.0.0/16 proto boot; :"""


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    """Take back what a test has left on the machines."""
    yield
    ok(lab.fab("rollback", "--yes", "--no-ping"))
    for machine in lab.cluster.machines:
        on(lab, machine.name, CLEAN)


def test_it_says_what_will_answer_and_the_machines_are_only_read(lab: Lab) -> None:
    for machine in lab.cluster.machines:
        on(lab, machine.name, COUNTING)
    before = lab.tables()
    out = ok(lab.fab("plan", "--foresee"))
    assert "6 to add" in out
    assert out.endswith("\n\nafter this change 6 of 6 pairs will answer; machine to pod: 6 of 6\n")
    assert lab.tables() == before
    for machine in lab.cluster.machines:
        assert on(lab, machine.name, SEEN) == "2\n"
    assert "nothing has been changed" not in lab.fab("history").stdout


def test_what_will_not_answer_is_named_in_the_words_of_verify(lab: Lab) -> None:
    on(lab, "worker-1", "iptables -P FORWARD DROP")
    found = json.loads(ok(lab.fab("plan", "--foresee", "--format", "json"), status=5))
    pairs = found["foresight"]["pairs"]
    silent = [p for p in pairs if p["answers"] is False]
    assert len(pairs) == 12
    assert len(silent) == 6
    assert all("worker-1" in (p["from"], p["to"]) for p in silent)
    assert {c for p in silent for c in p["causes"]} == {0}
    # No such pair answers today: the change silences none.
    done = lab.fab("apply-routes", "--foresee", "--no-ping")
    out = ok(done)
    assert "after this change 2 of 6 pairs will answer; machine to pod: 4 of 6\n" in out
    assert "not: worker-1's firewall drops packets for pods: iptables, policy DROP" in out
    assert "     iptables -I FORWARD -s 10.200.0.0/16 -j ACCEPT\n" in out
    assert all(len(line) <= 80 for line in (out + done.stderr).splitlines())
    assert "done: 6 added" in out


def test_a_change_that_silences_pods_is_refused(lab: Lab) -> None:
    """The way that worker-0's packets take now is the only one that worker-1 takes them from."""
    ok(lab.fab("apply-routes"))
    on(lab, "worker-0", f"ip route del 10.200.1.0/24; {VIA_OTHER}")
    on(lab, "worker-0", "echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects")
    on(lab, "worker-1", REFUSES.format(on(lab, "worker-0", MAC).strip()))
    before = lab.tables()
    done = lab.fab("apply-routes", "--foresee", "--replace", "--yes")
    out = " ".join(ok(done, status=1).split())
    assert "after this change 4 of 6 pairs will answer; machine to pod: 5 of 6" in out
    assert "2 pairs that answer now would not: worker-0 to worker-1's, IPv4" in out
    assert done.stderr.endswith("refused, for what was foreseen: nothing was changed anywhere\n")
    assert lab.tables() == before
    ok(lab.fab("plan", "--foresee", "--replace", "--limit", "worker-2"))
    ok(lab.fab("plan", "--foresee"), status=1)


def test_what_was_not_copied_makes_pairs_of_which_nobody_can_say(lab: Lab) -> None:
    on(lab, "worker-1", UNKNOWN)
    on(lab, "worker-1", "iptables -P FORWARD DROP")
    on(lab, "worker-0", TUNNEL)
    out = ok(lab.fab("plan", "--foresee", "--format", "json"))
    pairs = json.loads(out)["foresight"]["pairs"]
    unsure = {(p["from"], p["to"]) for p in pairs if p["answers"] is None}
    assert unsure == {(a, b) for a in NAMES for b in NAMES if a != b}
    over = [p for p in pairs if {p["from"], p["to"]} == {"worker-0", "worker-2"}]
    why = "not copied of worker-0: vx is of the kind vxlan: one that leads nowhere stands in for it"
    # Answers to worker-2's own pings go to its own address, and not over the tunnel.
    direct = [p for p in over if (p["from"], p["sent_by"]) == ("worker-2", "machine")]
    assert [p["answers"] for p in direct] == [True]
    assert {p["cannot_say"] for p in over if p not in direct} == {why}
    on(lab, "worker-0", "ip rule del to 10.200.2.0/24 fwmark 7; ip link del vx")


def test_machines_that_cannot_be_asked_are_left_out(lab: Lab) -> None:
    pid = on(lab, "worker-2", "cat /run/sshd.pid")
    on(lab, "worker-2", f"kill {pid}")
    ok(lab.fab("plan", "--foresee"), status=1)
    out = ok(lab.fab("plan", "--foresee", "--skip-unreachable"), status=4)
    assert "after this change 2 of 2 pairs will answer; machine to pod: 2 of 2; skipped" in out
    on(lab, "worker-2", "/usr/sbin/sshd -E /var/log/sshd.log")


def test_where_it_cannot_be_told_is_said_before_anything_is_asked(lab: Lab) -> None:
    routing(lab, "bgp")
    done = lab.fab("plan", "--foresee")
    ok(done, status=1)
    assert done.stderr.startswith("--foresee copies no BIRD, and so no BGP: `fab rehearse")
    routing(lab, "static")


def test_ctrl_c_ends_it_and_leaves_nothing(lab: Lab) -> None:
    before = lab.tables()
    with lab.popen("plan", "--foresee") as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("not copied"):
                break
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        run.send_signal(signal.SIGINT)
        said = run.stderr.read()
    assert run.returncode == 130
    assert said.endswith("interrupted: nothing was changed\n")
    assert children
    for child in children:
        while Path(f"/proc/{child}").exists():
            os.sched_yield()  # the test's own time limit ends this
    assert lab.tables() == before
