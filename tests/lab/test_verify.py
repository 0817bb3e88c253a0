"""verify on a twin: every way in which pods are cut off is made for real."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from junitparser import JUnitXml

from .conftest import Lab, MakeLab, tutorial
from .kit import dual_stack, monitor, ok, on

LEFT = (
    "ip -o link; ip -o addr show scope global; ip -o route show table all; ls /run; ps ax -o args"
)


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """Three workers whose routes are there."""
    made = make_lab(tutorial())
    ok(made.fab("apply-routes"))
    for machine in made.cluster.machines:  # a watchdog sees within a second that it may go
        on(made, machine.name, "timeout 30 sh -c 'while pgrep -f pending/[w]atch; do :; done'")
    return made


def cells(out: str, title: str) -> dict[tuple[str, str], str]:
    """The matrix under a title: what stands in the row of one machine and the column of another."""
    lines = out[out.index(title) :].split("\n\n", maxsplit=1)[0].splitlines()
    columns = lines[1].split()[3:]
    return {
        (row.split()[0], column): cell
        for row in lines[3:]
        for column, cell in zip(columns, re.split(r"  +", row)[1:], strict=True)
        if cell != "-"
    }


RESET = "iptables -I INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset"
PODS, MACHINES = "IPv4, pod to pod", "IPv4, machine to pod"


def test_all_pairs_answer_and_nothing_is_left(lab: Lab) -> None:
    names = [m.name for m in lab.cluster.machines]
    before = {name: on(lab, name, LEFT) for name in names}
    out = ok(lab.fab("verify"))
    assert "6 of 6 pairs" in out
    assert "wired as pods are, on the pod bridge" in out
    assert {name: on(lab, name, LEFT) for name in names} == before


def test_a_second_look_meets_no_stale_neighbour(lab: Lab) -> None:
    """The next probe has the address of the last one, which the machine remembers."""
    assert "lost" not in ok(lab.fab("verify", "verify"))


def test_before_apply_no_pair_is_proven_though_masquerading_hides_it(lab: Lab) -> None:
    on(lab, "worker-1", "ip route del 10.200.0.0/24")
    out = ok(lab.fab("verify"), status=5)
    pods = cells(out, PODS)
    # A packet to worker-1 arrives, its answer finds no way back: a real pod would get it, by
    # its node's address, which ipMasq puts on what it sends.
    assert pods["worker-0", "worker-1"] == "MASQ"
    assert pods["worker-1", "worker-0"] == "SILENT"
    assert cells(out, MACHINES)["worker-0", "worker-1"] not in ("SILENT", "MASQ")
    assert {pair for pair, cell in pods.items() if not re.match(r"[\d.]+", cell)} == {
        ("worker-0", "worker-1"),
        ("worker-1", "worker-0"),
    }
    assert "routes proven both ways: 4 of 6 pairs; pods reach (masqueraded): 5 of 6" in out
    pod = on(lab, "worker-1", "ls /var/lib/cni/networks/*/ | grep 10.200").strip()
    real = lab.twin.run_in_pod("worker-0", ["ping", "-c", "1", "-W", "1", pod])
    assert real.returncode == 0, "a real pod gets through, as verify says"


CUT_OFF = {
    "ip_forward is 0": "echo 0 >/proc/sys/net/ipv4/ip_forward",
    "FORWARD drops": "iptables -P FORWARD DROP",
    "nft drops": "nft 'add table ip t; add chain ip t c "
    "{ type filter hook forward priority 0; policy drop; }'",
}


@pytest.mark.parametrize("command", CUT_OFF.values(), ids=CUT_OFF.keys())
def test_a_worker_that_does_not_forward(lab: Lab, command: str) -> None:
    bridge = on(lab, "worker-1", "ip -o -4 addr show cnio0").split()[3].split("/")[0]
    on(lab, "worker-1", command)
    assert on(lab, "worker-0", f"ping -c 1 -W 1 {bridge}")  # which proves nothing
    out = ok(lab.fab("verify"), status=5)
    for pair, cell in cells(out, PODS).items():
        assert (cell == "SILENT") == ("worker-1" in pair), (pair, cell)


def test_a_link_that_takes_only_small_packets(lab: Lab) -> None:
    """The network carries 1400 bytes, and nobody says so to who sends more."""
    on(lab, "worker-1", "iptables -A FORWARD -o enp6s0 -m length --length 1401: -j DROP")
    out = ok(lab.fab("verify"), status=5)
    pods = cells(out, PODS)
    assert {pair for pair, cell in pods.items() if cell == "LARGE"} == {
        pair for pair in pods if "worker-1" in pair
    }


def test_lost_packets_are_counted_and_no_failure(lab: Lab) -> None:
    on(
        lab,
        "worker-1",
        "iptables -A FORWARD -s 10.200.0.0/24 -p icmp --icmp-type echo-request"
        " -m statistic --mode nth --every 3 --packet 0 -j DROP",
    )
    out = ok(lab.fab("verify"))
    assert "(33% lost)" in cells(out, PODS)["worker-0", "worker-1"]


def test_where_no_pod_has_run_the_probe_is_routed(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial(), pods=["worker-0"])
    ok(lab.fab("apply-routes"))
    out = ok(lab.fab("verify"))
    assert "2 probes wired as pods are, routed, because there is no pod bridge" in out
    assert "6 of 6 pairs" in out
    assert "pod bridge is missing" not in out
    on(lab, "worker-0", "ip link del cnio0")
    assert "worker-0: pods have addresses there" in ok(lab.fab("verify"))
    on(lab, "worker-1", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    ok(lab.fab("verify"), status=5)


def test_where_no_namespace_can_be_made_lo_stands_in(lab: Lab) -> None:
    before = on(lab, "worker-1", LEFT)
    on(
        lab,
        "worker-1",
        "printf '#!/bin/sh\\nexit 1\\n' >/usr/local/sbin/unshare; chmod +x /usr/local/sbin/unshare",
    )
    out = ok(lab.fab("verify"))
    assert "worker-1: its probe is an address on lo" in out
    assert "6 of 6 pairs" in out
    assert on(lab, "worker-1", LEFT) == before
    on(lab, "worker-1", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    out = ok(lab.fab("verify"), status=5)
    assert cells(out, PODS)["worker-0", "worker-1"] == "NO FWD"


def test_the_store_of_host_local_is_respected(lab: Lab) -> None:
    on(
        lab,
        "worker-1",
        "touch /var/lib/cni/networks/bridge/10.200.1.254 /var/lib/cni/networks/bridge/10.200.1.253",
    )
    with monitor(lab, "worker-1") as events:
        ok(lab.fab("verify"))
    seen = "".join(events)
    assert "10.200.1.252" in seen
    assert "10.200.1.254" not in seen
    assert "10.200.1.253" not in seen


def test_a_full_pod_cidr_has_no_probe_and_that_is_said(make_lab: MakeLab) -> None:
    """A probe needs an address of its own; nobody is called silent who was not pinged."""
    lab = make_lab(tutorial())
    on(lab, "worker-1", "touch $(seq -f /var/lib/cni/networks/bridge/10.200.1.%g 254)")
    assert "6 added on 3 machines" in ok(lab.fab("apply-routes"))
    out = ok(lab.fab("verify", "--pods"), status=5)
    assert {pair for pair, cell in cells(out, PODS).items() if cell == "NO PROBE"} == {
        ("worker-0", "worker-1"),
        ("worker-1", "worker-0"),
        ("worker-1", "worker-2"),
        ("worker-2", "worker-1"),
    }
    words = "worker-1: no probe: every address of 10.200.1.0/24 is taken, on its links or in"
    assert words in " ".join(out.split())
    assert [line.split()[2:4] for line in out.splitlines() if "10.200.1.2 " in line] == [
        ["yes", "2"]
    ]


PINGS = 'until ip -o link | grep -q ": probe" && pgrep -x ping; do :; done'
OVER = 'while ip -o link | grep -q ": probe" || pgrep -x ping; do :; done'


def test_killed_it_leaves_nothing(lab: Lab) -> None:
    before = {m.name: on(lab, m.name, LEFT) for m in lab.cluster.machines}
    on(lab, "worker-2", "iptables -A FORWARD -j DROP")  # so that the pings last
    with lab.popen("verify") as fab:
        on(lab, "worker-1", f"timeout 30 sh -c '{PINGS}'")
        os.kill(fab.pid, 9)
    deadline = time.monotonic() + 30
    while (now := {n: on(lab, n, LEFT) for n in before}) != before:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)


# A bridge made by hand, whose hardware address is the lowest of its ports', and two pods on it. The
# second one pings a pod of worker-1 until it is told to end.
BY_HAND = """ip link del cnio0; ip link add cnio0 type bridge
ip addr add 10.200.0.1/24 dev cnio0; ip link set cnio0 up
for n in 1 2; do
  unshare --net setsid sleep 600 >/dev/null 2>&1 & pod=$!
  until [ "$(readlink /proc/$pod/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
  ip link add pod$n address 02:02:02:02:02:0$n type veth peer name eth0 netns $pod
  ip link set pod$n master cnio0 up
  set -- nsenter --net=/proc/$pod/ns/net
  "$@" ip addr add 10.200.0.1$n/24 dev eth0; "$@" ip link set eth0 up
  "$@" ip route add default via 10.200.0.1
done
timeout 30 "$@" sh -c 'until ping -c 1 -W 1 10.200.1.2; do :; done' >/dev/null
setsid timeout 120 "$@" ping -q -i 0.005 10.200.1.2 >/run/pinged 2>&1 &"""


def test_pods_that_run_lose_nothing(lab: Lab) -> None:
    """Neither to a run, nor to one that is killed."""
    on(lab, "worker-0", BY_HAND)
    ok(lab.fab("verify"))
    with lab.popen("verify") as fab:
        on(lab, "worker-0", "timeout 30 sh -c 'until ip link | grep -q probe; do :; done'")
        os.kill(fab.pid, signal.SIGKILL)
    on(lab, "worker-0", "timeout 30 sh -c 'while ip link | grep -q probe; do :; done'")
    on(lab, "worker-0", "pkill -INT -f '^ping -q -i'; while pgrep -f '^ping -q -i'; do :; done")
    told = on(lab, "worker-0", "cat /run/pinged")
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", told)
    assert counts, told
    sent, received = map(int, counts.groups())
    assert sent > 100
    assert sent - received <= 1, "more than the one that was under way"


def test_controllers_reach_pods_too_and_both_families_are_pinged(make_lab: MakeLab) -> None:
    lab = make_lab(dual_stack())
    before = lab.tables()
    assert "8 added on 3 machines" in ok(lab.fab("apply-routes"))
    assert "nothing to do" in ok(lab.fab("apply-routes"))
    out = ok(lab.fab("verify"))
    assert "4 of 4 pairs; machine to pod: 8 of 8" in out
    assert "IPv6, machine to pod" in out
    assert ("controller-0", "worker-0") in cells(out, "IPv6, machine to pod")
    ok(lab.fab("rollback"))
    assert lab.tables() == before


def test_a_page_and_json_and_junit_tell_the_same(lab: Lab) -> None:
    on(lab, "worker-1", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    done = lab.fab("verify", "--report", "page.html", "--format", "json")
    pairs = json.loads(ok(done, status=5))["pairs"]
    assert len(pairs) == 12
    assert {(p["from"], p["to"]) for p in pairs if p["verdict"] == "silent" and not p["ok"]} == {
        ("worker-0", "worker-1"),
        ("worker-1", "worker-0"),
        ("worker-1", "worker-2"),
        ("worker-2", "worker-1"),
    }
    assert "6 of 12 pairs fail" in (lab.dir / "page.html").read_text()
    suites = JUnitXml.fromstring(ok(lab.fab("verify", "--format", "junit"), status=5).encode())
    assert suites.failures == 6
    assert [suite.name for suite in suites] == ["run", PODS, MACHINES]


def test_of_a_dead_machine_a_page_says_so_skipped_or_not(lab: Lab) -> None:
    on(lab, "worker-2", RESET)
    page = lab.dir / "page.html"
    done = lab.fab("verify", "--report", page.name)
    assert ok(done, status=1) == ""
    assert "page.html: written, but not complete" in done.stderr
    assert "1 of 3 machines cannot be asked" in page.read_text()
    out = ok(lab.fab("verify", "--report", page.name, "--skip-unreachable"), status=4)
    assert "skipped worker-2" in out
    assert "All 4 pairs that could be pinged answer" in page.read_text()


def test_a_run_that_ends_early_leaves_a_page_of_what_it_knew(lab: Lab) -> None:
    on(lab, "worker-2", "iptables -A FORWARD -j DROP")  # so that the pings last
    page = lab.dir / "page.html"
    endings = {
        "interrupted": "",
        "could not send their pings": RESET,
    }
    for words, command in endings.items():
        on(lab, "worker-1", f"timeout 30 sh -c '{OVER}'")  # what is left of the run before
        with lab.popen("verify", "--report", page.name, "--format", "json") as fab:
            on(lab, "worker-1", f"timeout 30 sh -c '{PINGS}'")
            if command:
                on(lab, "worker-1", command)
            else:
                os.kill(fab.pid, signal.SIGINT)
            out, errors = fab.communicate(timeout=60)
        assert "page.html: written, but not complete" in errors
        found = json.loads(out)
        assert not found["complete"]
        assert words in found["stopped"]
        assert words in page.read_text()
    silent = {(p["from"], p["to"]) for p in found["pairs"] if not p["ok"]}
    assert silent == {("worker-0", "worker-2"), ("worker-2", "worker-0")}, "of those heard"


def test_what_cannot_be_written_is_said_before_any_machine_is_asked(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial())
    wrong = {
        ("--report", "none/page.html"): "none/page.html: cannot be written: No such file",
        ("--format", "xml"): "--format xml: choose table, json or junit",
    }
    for flags, words in wrong.items():
        done = lab.fab("verify", *flags)
        assert ok(done, status=1) == ""
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (lab.dir / "known_hosts").exists(), "a machine has been asked"


def until(fab: "subprocess.Popen[str]", words: str) -> list[str]:
    """The lines that a command prints up to one with these words, which has to come."""
    assert fab.stdout is not None
    lines = []
    for line in iter(fab.stdout.readline, ""):
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"it ended without {words!r}: {lines}")


def test_watching_prints_what_changes_and_nothing_else(lab: Lab) -> None:
    with lab.popen("verify", "--watch", "1") as fab:
        until(fab, "routes proven both ways: 6 of 6")
        on(lab, "worker-1", "echo 0 >/proc/sys/net/ipv4/ip_forward")
        *pairs, _cause = until(fab, "ip_forward is 0 ->")
        for line in pairs:
            assert re.match(r"[\d:]{8}  worker-\d to worker-\d, IPv4, .*: silent, was ok", line)
        on(lab, "worker-1", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        *pairs, _cause = until(fab, "no longer: worker-1 does not forward")
        assert all(": ok, was silent" in line for line in pairs)
        on(lab, "worker-2", "iptables -I INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset")
        until(fab, "worker-2 cannot be asked")
        on(lab, "worker-2", "iptables -F INPUT")
        until(fab, "worker-2 can be asked again")
        fab.send_signal(signal.SIGINT)
        assert fab.wait(30) == 130
        assert fab.stderr is not None
        assert "Traceback" not in fab.stderr.read()


def test_real_pods_answer_and_say_as_what_they_arrive(lab: Lab) -> None:
    on(lab, "worker-1", "iptables -t nat -F")  # ipMasq's rules
    out = ok(lab.fab("verify", "--pods"))
    rows = [line.split() for line in out.splitlines() if "2 of 2" in line]
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        ("worker-0", "yes", "masqueraded"),
        ("worker-1", "yes", "itself"),
        ("worker-2", "yes", "masqueraded"),
    ]


HOSTILE = "/var/lib/cni/networks/bridge/fd00:200:0:1::2%$(cd;id>owned)"


def test_the_name_of_a_file_of_one_worker_runs_on_none(make_lab: MakeLab) -> None:
    lab = make_lab(dual_stack())
    ok(lab.fab("apply-routes"))
    on(lab, "worker-1", f"touch '{HOSTILE}'")
    out = ok(lab.fab("verify", "--pods"))
    for machine in lab.cluster.machines:
        assert "owned" not in on(lab, machine.name, "cd; ls . /")
    assert "owned" not in out


def test_a_sample_says_that_it_is_one(lab: Lab) -> None:
    out = ok(lab.fab("verify", "--sample", "1", "--seed", "7"))
    assert "a sample, 1 peer each, --seed 7" in " ".join(out.split())
    assert "3 of 3 pairs" in out
    again = ok(lab.fab("verify", "--sample", "1", "--seed", "7", "--format", "json"))
    assert len(json.loads(again)["pairs"]) == 6


def test_tcp_proves_as_much_as_pings(lab: Lab) -> None:
    for machine in lab.cluster.machines:
        on(lab, machine.name, "iptables -A FORWARD -p icmp -j DROP")
    ok(lab.fab("verify"), status=5)
    out = ok(lab.fab("verify", "--tcp", "179"))
    assert "3 TCP connections to port 179 a pair" in " ".join(out.split())
    assert "6 of 6 pairs" in out
