from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.probe import probes

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
