from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.probe import Ping, Report, probes, read_report

from .builders import facts, machine


@pytest.mark.parametrize(
    ("cidr", "taken", "address"),
    [
        ("10.200.0.0/24", [], "10.200.0.254"),
        ("10.200.0.0/24", ["10.200.0.254", "10.200.0.253"], "10.200.0.252"),
        ("10.200.0.0/30", [], "10.200.0.2"),
        ("10.200.0.0/30", ["10.200.0.2", "10.200.0.1"], None),
        ("10.200.0.0/31", [], "10.200.0.1"),
        ("10.200.0.0/32", [], None),
        ("fd00:200::/64", [], "fd00:200::ffff:ffff:ffff:feff"),
        ("fd00:200::/126", [], "fd00:200::2"),
        ("fd00:200::/127", [], "fd00:200::1"),
        ("fd00:200::/128", [], None),
        ("::/64", [], "::ffff:ffff:ffff:feff"),
    ],
)
def test_a_probe_has_a_free_address_at_the_top(
    cidr: str, taken: list[str], address: str | None
) -> None:
    worker = replace(machine(0), pod_cidrs=(ip_network(cidr),))
    found = probes(worker, facts(0, reserved=frozenset(map(ip_address, taken))))
    assert [str(p.address) for p in found] == ([address] if address else [])


@given(st.ip_addresses(v=6), st.integers(2, 128))
def test_a_probe_is_never_of_ipv6s_reserved_addresses(start: object, length: int) -> None:
    """RFC 4291, 2.6.1, and RFC 2526: the first of a subnet, and in a /64 the last 128."""
    cidr = ip_network(f"{start}/{length}", strict=False)
    for probe in probes(replace(machine(0), pod_cidrs=(cidr,)), facts(0)):
        assert probe.address in cidr
        assert probe.address != cidr[0]
        assert length > 64 or int(cidr[-1]) - int(probe.address) >= 128


def test_a_probe_is_on_the_bridge_only_where_all_its_families_are() -> None:
    worker = machine(0, families=(4, 6))
    four, six = ("cni0", ip_interface("10.200.0.1/24")), ("cni0", ip_interface("fd00:200::1/64"))
    both = probes(worker, facts(0, addresses=(four, six)))
    assert [str(p.gateway) for p in both] == ["10.200.0.1", "fd00:200::1"]
    one = probes(worker, facts(0, addresses=(four,)))
    assert [p.gateway for p in one] == [None, None]


ANSWERED = "3 packets transmitted, 3 received, 0% packet loss, time 401ms"
RTT = "rtt min/avg/max/mdev = 0.026/0.031/0.041/0.007 ms"
LOST = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 403ms"


@pytest.mark.parametrize(
    ("line", "ping"),
    [
        (f"w 4 pod yes PING a {ANSWERED} {RTT}", Ping("w", 4, True, 3, 0.031, True)),
        (f"w 6 host no PING a {ANSWERED} {RTT}", Ping("w", 6, False, 3, 0.031, False)),
        (f"w 4 pod no PING a {LOST} pipe 3", Ping("w", 4, True, 0, None, False)),
        (
            "w 4 pod yes ping: connect: Network is unreachable",
            Ping("w", 4, True, 0, None, True),
        ),
        ("w 4 pod yes", Ping("w", 4, True, 0, None, True)),
    ],
)
def test_a_ping_is_read_from_its_summary(line: str, ping: Ping) -> None:
    assert read_report(f"== ready bridge\n== ping {line}\n").pings == (ping,)


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
    report = read_report("\n".join(["== forwarding 4", *lines, "== ready bridge"]))
    assert report.forwards[4] == forwards


def test_why_a_probe_is_not_wired_is_kept_only_where_it_is_not() -> None:
    assert read_report("== wiring\nunshare: no\n== ready lo").why == "unshare: no"
    assert read_report("== wiring\nunshare: no\n== ready routed").why == ""


SECTIONS = st.lists(
    st.sampled_from(
        "ready bridge|ready|ready lo|forwarding|forwarding 4|ping|ping w 4 pod".split("|")
    )
    | st.text()
).map(lambda heads: "\n".join(f"== {head}" for head in heads))


@given(st.text() | SECTIONS)
def test_nonsense_is_a_value_error_or_a_report(answer: str) -> None:
    try:
        report = read_report(answer)
    except ValueError:
        return
    assert isinstance(report, Report)
