"""Verdicts, the probes' addresses, and what verify prints."""

from dataclasses import replace
from datetime import datetime, timezone
from ipaddress import ip_address, ip_network

import pytest

from tasks.connectivity.ping import Ping, Report, Target, read_report
from tasks.connectivity.probe import Wired, probes
from tasks.connectivity.verdict import Pair, judge
from tasks.diagnosis.result import Verification
from tasks.reports.verify_table import verify_report
from tests.builders import cluster, facts, machine


def report(*pings: Ping, wired: Wired = "bridge", forwards: bool = True) -> Report:
    return Report(wired, "", {4: forwards, 6: forwards}, pings)


def ping(to: int, received: int = 3, *, from_pod: bool = True, large: bool = True) -> Ping:
    return Ping(f"worker-{to}", 4, from_pod, received, 0.1 if received else None, large)


def verdict(
    *pings: Ping, wired: Wired = "bridge", forwards: bool = True, masquerades: bool = False
) -> str:
    """What worker-0 of two learns of its way to worker-1's pods."""
    asked = {f"worker-{n}": replace(facts(n), masquerades=masquerades) for n in range(2)}
    reports = {
        "worker-0": report(*pings, forwards=forwards),
        "worker-1": report(wired=wired, forwards=forwards),
    }
    pairs = judge(cluster(2), asked, reports)
    return next(p.verdict for p in pairs if p.from_pod and p.source == "worker-0")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (verdict(ping(1)), "ok"),
        (verdict(ping(1, received=1)), "ok"),
        (verdict(ping(1, large=False)), "large lost"),
        (verdict(ping(1, received=0)), "silent"),
        (verdict(), "no probe"),
        (verdict(ping(1, 0), ping(1, from_pod=False), masquerades=True), "masqueraded"),
        (verdict(ping(1, 0), ping(1, from_pod=False)), "silent"),
        (verdict(ping(1, 0), ping(1, 0, from_pod=False), masquerades=True), "silent"),
        (
            verdict(ping(1, 0), ping(1, from_pod=False), masquerades=True, forwards=False),
            "silent",
        ),
        (verdict(ping(1), wired="lo"), "ok"),
        (verdict(ping(1), wired="lo", forwards=False), "no forwarding"),
    ],
)
def test_verdicts(found: str, expected: str) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("cidr", "reserved", "expected"),
    [
        ("10.200.0.0/24", [], "10.200.0.254"),
        ("10.200.0.0/24", ["10.200.0.254", "10.200.0.253"], "10.200.0.252"),
        ("10.200.0.0/30", [], "10.200.0.2"),
        ("10.200.0.0/30", ["10.200.0.2", "10.200.0.1"], None),
        ("fd00:200::/64", [], "fd00:200::ffff:ffff:ffff:feff"),
        ("fd00:200::/126", [], "fd00:200::2"),
    ],
)
def test_a_probe_takes_a_free_address_at_the_top(
    cidr: str, reserved: list[str], expected: str | None
) -> None:
    worker = replace(machine(0), pod_cidrs=(ip_network(cidr),))
    asked = replace(facts(0), reserved=frozenset(map(ip_address, reserved)))
    assert [str(p.address) for p in probes(worker, asked)] == ([expected] if expected else [])


def test_a_report_is_read_from_what_ping_prints() -> None:
    found = read_report(
        "== forwarding 4\n1\n-P FORWARD DROP\n== forwarding 6\n1\n== ready bridge\n== large pod\n"
        "PING 10.200.1.254 (10.200.1.254) from 10.200.0.254 : 1472(1500) bytes of data.\n\n"
        "--- 10.200.1.254 ping statistics ---\n"
        "3 packets transmitted, 2 received, 33% packet loss, time 402ms\n"
        "rtt min/avg/max/mdev = 0.041/0.052/0.063/0.009 ms\n",
        [Target("worker-1", ip_address("10.200.1.254"), ip_address("10.200.0.254"))],
    )
    assert found == Report(
        "bridge", "", {4: False, 6: True}, (Ping("worker-1", 4, True, 2, 0.052, True),)
    )


def test_a_connection_that_a_firewall_turned_down_in_a_probes_name_is_no_answer() -> None:
    ping = Ping("worker-1", 4, True, 3, None, True)
    own = replace(ping, from_pod=False)
    both = {4: True, 6: True}

    def verdicts(callers: set[str] | None) -> list[str]:
        """Those of the machine's own connection, and of its pod's."""
        came = None if callers is None else frozenset(ip_network(c) if c else None for c in callers)
        reports = {
            "worker-0": Report("bridge", "", both, (ping, own)),
            "worker-1": Report("bridge", "", both, (), came),
        }
        found = judge(cluster(2), {f"worker-{n}": facts(n) for n in range(2)}, reports)
        return [p.verdict for p in found if p.source == "worker-0"]

    assert verdicts({"10.200.0.0/24", "10.240.0.6/32"}) == ["ok", "ok"]
    assert verdicts({"10.240.0.6/32"}) == ["ok", "silent"]
    assert verdicts({"10.200.0.0/24"}) == ["silent", "ok"]
    assert verdicts({"", "10.200.0.0/24"}) == ["ok", "ok"]
    assert verdicts({""}) == ["ok", "silent"]
    assert verdicts(None) == ["ok", "ok"]


def test_a_pod_whose_connections_a_firewall_turns_down_is_not_said_to_get_through() -> None:
    hiding = facts(0, masquerades=True)
    both = {4: True, 6: True}
    pings = tuple(Ping(f"worker-{n}", 4, p, 3, None, True) for n in (1, 2) for p in (True, False))
    heard = Report("bridge", "", both, (), frozenset({ip_network("10.240.0.6/32")}))
    reports = {"worker-0": Report("bridge", "", both, pings), "worker-1": heard, "worker-2": heard}
    found = judge(
        cluster(3), {"worker-0": hiding, "worker-1": facts(1), "worker-2": facts(2)}, reports
    )
    assert {p.verdict for p in found if p.source == "worker-0" and p.from_pod} == {"silent"}


def test_callers_are_read_from_what_iptables_has_counted() -> None:
    found = read_report(
        "== forwarding 4\n1\n== ready bridge\n== callers\n*filter\n:INPUT ACCEPT [0:0]\n"
        "[3:180] -A INPUT -s 10.200.0.0/24 -p tcp -m tcp --tcp-flags SYN SYN -j ACCEPT\n"
        "[0:0] -A INPUT -s 10.200.2.0/24 -p tcp -m tcp --tcp-flags SYN SYN -j ACCEPT\n"
        "[1:60] -A INPUT -p tcp -m tcp --tcp-flags SYN SYN\n",
        (),
    )
    assert found.callers == frozenset({ip_network("10.200.0.0/24"), None})


def pairs(workers: int, silent: int = 0) -> list[Pair]:
    names = [f"worker-{n}" for n in range(workers)]
    found = [Pair(a, b, 4, True, "ok", 3, 0.1) for a in names for b in names if a != b]
    return [replace(p, verdict="silent", received=0, rtt=None) for p in found[:silent]] + found[
        silent:
    ]


def run(found: list[Pair]) -> Verification:
    return Verification(cluster(3), datetime.now(timezone.utc), pairs=found)


def test_three_workers_are_a_matrix_within_80_columns() -> None:
    text = verify_report(run(pairs(3, silent=1)))
    assert "SILENT" in text
    assert max(map(len, text.splitlines())) <= 80


def test_many_workers_are_a_summary_and_the_first_pairs_that_fail() -> None:
    assert "and 30 more pairs: --report" in verify_report(run(pairs(50, silent=50)))
    text = verify_report(run(pairs(50, silent=3)))
    assert text.count("worker-0 ") == 3
    assert "2447 of 2450 pairs" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "worker" not in verify_report(run(pairs(50)))
