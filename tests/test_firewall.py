"""Firewalls: where packets are dropped, by the listings of iptables-save and nft."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.firewall import Drop, read_drops, remedy

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
    places = {drop.place for drop in read_drops(IPTABLES.splitlines(), 6)}
    assert "nft, policy drop of ip6 only6 c" in places


def test_what_a_rule_says_is_shown_on_one_line_of_its_own() -> None:
    (drop,) = read_drops(
        ["*filter", ":FORWARD ACCEPT [0:0]", f"[1:1] -A FORWARD -s \x1b{'x' * 200} -j DROP"], 4
    )
    assert len(drop.place) <= 90
    assert drop.place.isprintable()


def test_the_remedy_is_that_of_whoever_set_it() -> None:
    assert "ufw route allow" in remedy(["ufw"], "", "10.200.0.0/16")
    assert "firewall-cmd --permanent" in remedy(["firewalld"], "", "10.200.0.0/16")
    assert "/etc/sysctl.d" in remedy(["Docker"], "", "10.200.0.0/16")
    assert "nftables.conf" in remedy([], "nft, x", "10.200.0.0/16")
    assert "netfilter-persistent" in remedy([], "iptables, x", "10.200.0.0/16")


WORDS = st.sampled_from(
    "table ip ip6 inet chain t c { } type hook forward policy drop; drop jump * *filter : :FORWARD"
    " [1:2] -A FORWARD -j DROP nft counter packets 7".split()
)


@given(st.lists(st.lists(WORDS, max_size=7).map(" ".join), max_size=12))
def test_nonsense_is_read_as_far_as_it_goes(lines: list[str]) -> None:
    assert isinstance(read_drops(lines, 4), tuple)
