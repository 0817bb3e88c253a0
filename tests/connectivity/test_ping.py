"""What is pinged is asked as it has to be, and what comes of it is read."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.connectivity.ping import Ping, Report, Target, ping_script, read_report
from tasks.connectivity.probe import probes
from tests.builders import facts, machine
from tests.scripts import answer, stub

TARGETS = (
    Target("w", ip_address("10.200.1.254"), ip_address("10.200.0.254")),
    Target("w", ip_address("fd00:200::9"), None),
)
POD = "--- 10.200.1.254 ping statistics ---"
HOST = "--- fd00:200::9 ping statistics ---"
ANSWERED = "3 packets transmitted, 3 received, 0% packet loss, time 401ms"
RTT = "rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms"
LOST = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 403ms"
FROM_POD = Ping("w", 4, True, 3, 0.031, True)
FROM_HOST = Ping("w", 6, False, 3, 0.031, True)
SILENT = FROM_POD.unanswered


@pytest.mark.parametrize(
    ("lines", "pings"),
    [
        (["== large pod", POD, ANSWERED, RTT, "== small pod"], [FROM_POD]),
        (["== large host", HOST, ANSWERED, RTT], [FROM_HOST]),
        (
            ["== large pod", POD, LOST, "== small pod", POD, ANSWERED, RTT],
            [replace(FROM_POD, large=False)],
        ),
        (["== large pod", POD, LOST, "== small pod", POD, LOST], [SILENT]),
        (
            ["== large pod", POD, ANSWERED, RTT, "== large host", HOST, LOST, "== small host"],
            [FROM_POD, FROM_HOST.unanswered],
        ),
        (["== large pod", HOST, ANSWERED, RTT], [SILENT]),
        (["== large pod", POD, "== small pod"], [SILENT]),
        (["== large pod", POD, HOST, ANSWERED, RTT, ANSWERED, RTT], [SILENT]),
        (["== large pod", POD, ANSWERED], [replace(FROM_POD, rtt=None)]),
        (["== large pod", POD, ANSWERED, "rtt min/avg = 1/2.3.4/"], [replace(FROM_POD, rtt=None)]),
        *(
            (
                ["== large pod", POD, ANSWERED, RTT.replace("0.031", rtt)],
                [replace(FROM_POD, rtt=None)],
            )
            for rtt in ("9" * 400, "inf", "nan", "1e3", "-1", "60001", "\u0663")
        ),
        (["== large pod", POD.replace("10.200", "010.200"), ANSWERED, RTT], [SILENT]),
        (["== large host", HOST.replace("::9", "::9%eth0"), ANSWERED], [FROM_HOST.unanswered]),
        (["== large pod", POD, ANSWERED.replace("3 received", "4 received")], [SILENT]),
        (["== large pod"], [SILENT]),
        ([], []),
    ],
)
def test_a_ping_is_read_from_its_summary(lines: list[str], pings: list[Ping]) -> None:
    found = read_report("\n".join(["== ready bridge", *lines]), TARGETS)
    assert list(found.pings) == pings


@pytest.mark.parametrize(
    ("lines", "forwards"),
    [
        (["1"], True),
        (["0"], False),
        ([], False),
        (["1", "-P FORWARD ACCEPT", "-A FORWARD -j DOCKER"], True),
        (["1", "-P FORWARD DROP"], False),
        (["1", "\t\ttype filter hook forward priority filter; policy drop;"], False),
        (["1", "\t\ttype filter hook input priority filter; policy drop;"], True),
    ],
)
def test_forwarding_is_read_from_the_settings(lines: list[str], forwards: bool) -> None:
    report = read_report("\n".join(["== forwarding 4", *lines, "== ready bridge"]), ())
    assert report.forwards[4] == forwards


def test_why_a_probe_is_not_wired_is_kept_only_where_it_is_not() -> None:
    assert read_report("== wiring\nunshare: no\n== ready lo", ()).why == "unshare: no"
    assert read_report("== wiring\nunshare: no\n== ready routed", ()).why == ""


SECTIONS = st.lists(
    st.sampled_from(
        "ready bridge|ready|ready lo|forwarding|forwarding 4|large|large pod|small pod".split("|")
    )
    | st.sampled_from([POD, HOST, ANSWERED, RTT, LOST]).map("x\n{}".format)
    | st.text()
).map(lambda heads: "\n".join(f"== {head}" for head in heads))


@given(st.text() | SECTIONS)
def test_nonsense_is_a_value_error_or_a_report(answer: str) -> None:
    try:
        report = read_report(answer, TARGETS)
    except ValueError:
        return
    assert isinstance(report, Report)


PING = """\
printf '%s\\n' "$*" >>asked
for to; do :; done
case $to$* in
  10.200.1.*) received=3 ;;
  10.200.2.*-M*|fd00:200::3*-M*|10.200.4.*) received=0 ;;
  10.200.5.*) exit 2 ;;
  *) received=2 ;;
esac
echo "PING $to ($to) bytes of data."
echo "--- $to ping statistics ---
3 packets transmitted, $received received, 0% packet loss, time 401ms
"
[ "$received" -gt 0 ]
"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_only_what_does_not_answer_is_asked_for_small_packets(shell: str, tmp_path: Path) -> None:
    stub(tmp_path, "ping", PING)
    addresses = ["10.200.1.9", "10.200.2.9", "fd00:200::3", "10.200.4.9", "10.200.5.9"]
    sources = {4: ip_address("10.200.0.9"), 6: ip_address("fd00:200::")}
    targets = [
        Target(f"w{number}", address, source)
        for number, address in enumerate(map(ip_address, addresses), 1)
        for source in (None, sources[address.version])
    ]
    said = answer(ping_script((), facts(0), targets), tmp_path, shell=shell)
    received = {"w1": 3, "w2": 2, "w3": 2, "w4": 0, "w5": 0}
    assert read_report(said, targets).pings == tuple(
        Ping(t.worker, t.address.version, t.source is not None, received[t.worker], None, large)
        for t in targets
        for large in [t.worker == "w1"]
    )
    asked = (tmp_path / "asked").read_text().splitlines()
    small = [line.split()[-1] for line in asked if "-M do" not in line]
    assert sorted(small) == sorted(addresses[1:4] * 2), "from the machine and from its probe"
    assert "-n -q -c 3 -i 0.2 -W 1 -M do -s 1472 -I 10.200.0.9 10.200.1.9" in asked
    assert "-n -q -c 3 -i 0.2 -W 1 -M do -s 1452 fd00:200::3" in asked
    assert "-n -q -c 3 -i 0.2 -W 1 -I fd00:200:: fd00:200::3" in asked


LISTENING = "ip link set lo up; ip addr add 10.200.1.9/32 dev lo"


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_a_connection_that_is_turned_down_is_an_answer(shell: str, tmp_path: Path) -> None:
    address = ip_address("10.200.1.9")
    targets = [Target("w", address, None), Target("w", address, address)]
    script = ping_script((), facts(0), targets, tcp=179)
    report = read_report(answer(script, tmp_path, before=LISTENING, shell=shell), targets)
    assert report.pings == tuple(
        Ping("w", 4, from_pod, 3, None, large=True) for from_pod in (False, True)
    )


def test_a_probe_counts_from_where_connections_come(tmp_path: Path) -> None:
    own = probes(machine(0), facts(0))
    callers = [ip_network("10.240.0.6/32"), ip_network("10.200.9.0/24"), ip_network("fd00::/64")]
    before = "ip link set lo up; ip addr add 10.240.0.6/32 dev lo"
    script = ping_script(own, facts(0), [Target("w", own[0].address, None)], 179, callers)
    report = read_report(answer(script, tmp_path, before=before), ())
    assert report.callers == frozenset(callers[:1])


def test_without_bash_there_are_no_connections(tmp_path: Path) -> None:
    script = ping_script((), facts(0), TARGETS, tcp=179)
    gone = "command() { case $2 in bash) return 1 ;; esac; }"
    report = read_report(answer(script, tmp_path, before=gone), TARGETS)
    assert (report.wired, report.why) == ("none", "--tcp needs bash on it")


def test_a_machine_says_whether_it_forwards(tmp_path: Path) -> None:
    script = ping_script((), facts(0), [], forwarding=True)
    six = "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
    before = f"echo 1 >/proc/sys/net/ipv4/ip_forward; {six}"
    drops = f"{before}; iptables -P FORWARD DROP"
    assert read_report(answer(script, tmp_path, before=before), ()).forwards == {4: True, 6: True}
    assert read_report(answer(script, tmp_path, before=drops), ()).forwards == {4: False, 6: True}


def test_what_another_machine_calls_an_address_is_no_shell(tmp_path: Path) -> None:
    """Python's own parser takes any text for an address's scope; the gate does not, if asked."""
    stub(tmp_path, "ping", PING)
    touch = "touch owned"
    address = ip_address(f"fd00::%$({touch})`{touch}`'\"\n{touch}\n;{touch}")
    targets = [Target("w", address, address), Target("w", address, None)]
    for tcp in (0, 179):
        script = ping_script((), facts(0), targets, tcp, [ip_network(address)])
        answer(script, tmp_path)
        assert not (tmp_path / "owned").exists()


def test_a_probe_is_told_of_all_of_a_large_cluster(tmp_path: Path) -> None:
    """An argument of more than 128 KiB starts no program (execve(2)), and so wires no probe."""
    own = probes(machine(0, families=(4, 6)), facts(0, families=(4, 6)))
    targets = [
        Target(f"w{number}", probe.pod_cidr[-3 - number % 250], source)
        for number in range(600)
        for probe in own
        for source in (probe.address, None)
    ]
    callers = [probe.pod_cidr for probe in own] * 1200
    script = ping_script(own, facts(0), targets, callers=callers)
    said = answer(script, tmp_path, before=">said")
    assert read_report(said, ()).wired == "routed"
