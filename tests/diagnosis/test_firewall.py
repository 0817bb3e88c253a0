"""Firewalls: where packets are dropped, by the listings of iptables-save and nft."""

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.values import Network
from tasks.diagnosis.firewall import Drop, Packets, concerns, read_drops
from tasks.diagnosis.remedy import Remedy, accept_packets

IPTABLES = """\
*mangle
:FORWARD ACCEPT [0:0]
*filter
:INPUT DROP [5:420]
:FORWARD DROP [12:1008]
:DOCKER-USER - [0:0]
:KUBE-FIREWALL - [0:0]
:LONELY - [0:0]
[9:756] -A FORWARD -j DOCKER-USER
[3:252] -A INPUT -j KUBE-FIREWALL
[2:168] -A DOCKER-USER -s 10.200.0.0/24 -j DROP
[1:84] -A KUBE-FIREWALL -m conntrack --ctstate INVALID -j DROP
[0:0] -A LONELY -j REJECT --reject-with icmp-port-unreachable
nft
table ip filter {
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table inet firewalld {
\tchain filter_FORWARD {
\t\ttype filter hook forward priority filter + 10; policy accept;
\t\tjump zone
\t\treject with icmpx admin-prohibited
\t}
\tchain zone {
\t\tip saddr 10.0.0.1 counter packets 7 bytes 588 drop
\t}
}
table ip6 only6 {
\tchain c {
\t\ttype filter hook forward priority 0; policy drop;
\t}
}
"""


def test_every_drop_by_where_it_is_reached_from_and_whose_it_is() -> None:
    drops = read_drops(IPTABLES.splitlines(), 4)
    forward, inside = frozenset({"forward"}), frozenset({"input"})
    assert set(drops) == {
        Drop("iptables, policy DROP of INPUT", inside, 5, ("Docker",), True),
        Drop("iptables, policy DROP of FORWARD", forward, 12, ("Docker",), True),
        Drop("iptables, -A DOCKER-USER -s 10.200.0.0/24 -j DROP", forward, 2, ("Docker",), False),
        Drop(
            "iptables, -A KUBE-FIREWALL -m conntrack --ctstate INVALID -j DROP",
            inside,
            1,
            (),
            False,
        ),
        Drop("iptables, -A LONELY -j REJECT", frozenset(), 0, (), False),
        Drop("nft, inet firewalld filter_FORWARD: reject", forward, None, ("firewalld",), False),
        Drop("nft, inet firewalld zone: ip saddr 10.0.0.1 drop", forward, 7, ("firewalld",), False),
    }


def test_ip6_has_its_own_tables() -> None:
    places = {drop.rule for drop in read_drops(IPTABLES.splitlines(), 6)}
    assert "nft, policy drop of ip6 only6 c" in places


def test_what_a_rule_says_is_shown_on_one_line_of_its_own() -> None:
    (drop,) = read_drops(
        ["*filter", ":FORWARD ACCEPT [0:0]", f"[1:1] -A FORWARD -s \x1b{'x' * 200} -j DROP"], 4
    )
    assert len(drop.rule) <= 90
    assert drop.rule.isprintable()


FOUR, SIX = ip_network("10.200.0.0/16"), ip_network("fd00:200::/48")


def drop(place: str, *owners: str, hook: str = "forward") -> Drop:
    return Drop(place, frozenset({hook}), None, owners, place.partition(", ")[2].startswith("pol"))


def test_the_remedy_is_that_of_whoever_set_it() -> None:
    def remedy(of: Drop, *pods: Network) -> str:
        return str(accept_packets(of, pods, "w"))

    assert accept_packets(drop("iptables, x", "ufw"), [FOUR, SIX], "w") == Remedy(
        "w",
        tuple(f"ufw route allow {way} {pods}" for pods in (FOUR, SIX) for way in ("from", "to")),
    )
    assert "firewall-cmd --permanent" in remedy(drop("nft, x", "firewalld"), FOUR)
    assert "net.ipv4.ip_forward=1" in remedy(drop("iptables, x", "Docker"), FOUR)
    assert "net.ipv6.conf.all.forwarding" in remedy(drop("ip6tables, x", "Docker"), SIX)
    assert "nftables.conf" in remedy(drop("nft, x"), FOUR)
    assert remedy(drop("ip6tables, policy DROP of FORWARD"), SIX) == (
        "on w: ip6tables -I FORWARD -s fd00:200::/48 -j ACCEPT;"
        " ip6tables -I FORWARD -d fd00:200::/48 -j ACCEPT; netfilter-persistent save"
        "  # from the package iptables-persistent"
    )


def test_ip6_has_its_own_program() -> None:
    places = {found.rule for found in read_drops(IPTABLES.splitlines(), 6)}
    assert "ip6tables, policy DROP of FORWARD" in places


PINGS = Packets(True, ("icmp",), [ip_network("10.200.1.0/24"), FOUR], ("enp6s0", "cnio0"))


@pytest.mark.parametrize(
    ("place", "concerned"),
    [
        ("nft, inet f c: tcp dport 25 drop", False),
        ("nft, inet f tcp: drop", True),
        ("nft, inet f c: icmp type echo-request drop", True),
        ("nft, inet f c: ip saddr 192.168.0.0/16 drop", False),
        ("nft, inet f c: ip saddr 10.200.1.0/24 drop", True),
        ("nft, inet f c: ip saddr != 192.168.0.0/16 drop", True),
        ('nft, inet f c: iifname "docker0" drop', False),
        ('nft, inet f c: iifname "cnio0" drop', True),
        ("nft, policy drop of inet f c", True),
        ("iptables, -A FORWARD -p udp -j DROP", False),
        ("iptables, -A FORWARD ! -p udp -j DROP", True),
        ("iptables, -A FORWARD -s 192.168.0.0/16 -j DROP", False),
        ("iptables, -A FORWARD -s 10.0.0.0/8 -o enp6s0 -j DROP", True),
        ("iptables, -A FORWARD -o docker0 -j DROP", False),
        ("iptables, -A FORWARD -s 999.1.1.1 -j DROP", True),
    ],
)
def test_a_rule_about_other_packets_is_not_to_blame(place: str, *, concerned: bool) -> None:
    assert concerns(drop(place), PINGS) is concerned


def test_what_is_forwarded_does_not_meet_what_guards_the_machine_itself() -> None:
    inside = drop("iptables, policy DROP of INPUT", hook="input")
    assert not concerns(inside, PINGS)
    assert concerns(inside, replace(PINGS, forwarded=False))


def test_a_map_of_nfts_leads_to_all_chains_in_it() -> None:
    listing = """nft
table inet f {
\tchain start {
\t\ttype filter hook forward priority 0; policy accept;
\t\tiifname vmap { "a" : jump one, "b" : goto two }
\t}
\tchain two {
\t\tdrop
\t}
}"""
    (found,) = read_drops(listing.splitlines(), 4)
    assert found.hooks == {"forward"}


WORDS = st.sampled_from(
    "table ip ip6 inet chain t c { } type hook forward policy drop; drop jump * *filter : :FORWARD"
    " [1:2] -A FORWARD -j DROP nft counter packets 7".split()
)


@given(st.lists(st.lists(WORDS, max_size=7).map(" ".join), max_size=12))
def test_nonsense_is_read_as_far_as_it_goes(lines: list[str]) -> None:
    assert isinstance(read_drops(lines, 4), tuple)


def test_a_counter_that_no_kernel_counts_up_to_is_none() -> None:
    most = "9" * 4400
    drops = read_drops(
        [
            "*filter",
            f":FORWARD DROP [{most}:1]",
            f"[{most}:1] -A FORWARD -j DROP",
            "nft",
            "table inet f {",
            "\tchain c {",
            f"\t\tcounter packets {most} bytes 1 drop",
        ],
        4,
    )
    assert [drop.packets for drop in drops] == [None] * 3


def test_a_hook_that_no_kernel_has_is_none() -> None:
    lines = ["nft", "table inet f {", "\tchain c {", "\t\ttype filter hook moon;", "\t\tdrop"]
    (found,) = read_drops(lines, 4)
    assert found.hooks == frozenset()


def test_chains_that_jump_in_a_ring_are_reached_from_every_hook_before_it() -> None:
    rules = ["INPUT -j A", "FORWARD -j B", "A -j B", "B -j C", "C -j A", "C -j DROP"]
    heads = [":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]"]
    (found,) = read_drops(["*filter", *heads, *(f"[0:0] -A {rule}" for rule in rules)], 4)
    assert found.hooks == {"input", "forward"}
