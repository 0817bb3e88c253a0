import re
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.common.values import quoted
from tasks.iproute.route import Hop, Route, Unreadable, own_route, parse
from tests.builders import route

A, B = ip_address("10.240.0.7"), ip_address("10.240.0.8")
A6 = ip_address("fd00:240::7")

# As iproute2 4.15, 5.x and 6.x print them with -details -oneline, tabs and double blanks included.
READ = [
    (
        "unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 table main proto 214 scope global ",
        Route(ip_network("10.200.1.0/24"), (Hop(A, "enp6s0"),), "214"),
    ),
    (
        "unicast default via 10.240.0.7 dev enp6s0 proto dhcp scope global src 10.240.0.6"
        " metric 100 ",
        Route(ip_network("0.0.0.0/0"), (Hop(A, "enp6s0"),), "dhcp", 100),
    ),
    (
        "unicast 10.240.0.9 dev enp6s0 proto kernel scope link src 10.240.0.6 ",
        Route(ip_network("10.240.0.9/32"), (Hop(None, "enp6s0"),), "kernel"),
    ),
    (
        "10.200.1.0/24 via 10.240.0.7 dev enp6s0",
        Route(ip_network("10.200.1.0/24"), (Hop(A, "enp6s0"),), "boot"),
    ),
    (
        "unicast 10.200.3.0/24 proto bird scope global metric 32 mtu lock 1400"
        " \\\tnexthop via 10.240.0.7 dev e0 weight 2 \\\tnexthop via 10.240.0.8 dev e1 weight 1 ",
        Route(ip_network("10.200.3.0/24"), (Hop(A, "e0"), Hop(B, "e1")), "bird", 32),
    ),
    (
        "unicast 10.200.3.0/24 proto static scope link"
        " \\\tnexthop dev e0 weight 1 \\\tnexthop via 10.240.0.8 dev e1 weight 1 onlink ",
        Route(ip_network("10.200.3.0/24"), (Hop(None, "e0"), Hop(B, "e1")), "static"),
    ),
    (
        "blackhole 10.200.2.0/24 table main proto boot scope global ",
        Route(ip_network("10.200.2.0/24"), (), "boot", type="blackhole"),
    ),
    (
        "unreachable 10.200.2.0/24 proto static scope global metric 7 ",
        Route(ip_network("10.200.2.0/24"), (), "static", 7, type="unreachable"),
    ),
    (
        "prohibit 10.200.2.0/24 table 100 proto boot scope global ",
        Route(ip_network("10.200.2.0/24"), (), "boot", type="prohibit", table="100"),
    ),
    (
        "throw 10.200.0.0/16 table 100 proto boot scope global ",
        Route(ip_network("10.200.0.0/16"), (), "boot", type="throw", table="100"),
    ),
    (
        "unicast 10.200.3.0/24 tos 0x10 via 10.240.0.7 dev e0 table main proto boot scope global ",
        Route(ip_network("10.200.3.0/24"), (Hop(A, "e0"),), "boot", tos="0x10"),
    ),
    (
        "unicast 10.200.6.0/24 via inet6 fe80::1 dev e0 table main proto bgp scope global ",
        Route(ip_network("10.200.6.0/24"), (Hop(ip_address("fe80::1"), "e0"),), "bgp"),
    ),
    (
        "unicast 10.200.7.0/24 nhid 7 via 10.240.0.7 dev e0 table main proto zebra scope global ",
        Route(ip_network("10.200.7.0/24"), (Hop(A, "e0"),), "zebra"),
    ),
    (
        "unicast 10.200.7.0/24 via 10.240.0.7 dev e0 proto static scope global"
        " onlink dead linkdown pervasive offload ",
        Route(ip_network("10.200.7.0/24"), (Hop(A, "e0"),), "static"),
    ),
    (
        "unicast 10.200.4.0/24  encap ip id 7 src 0.0.0.0 dst 1.2.3.4 ttl 0 tos 0 dev e0"
        " table main proto boot scope link ",
        Route(ip_network("10.200.4.0/24"), (Hop(None, "e0"),), "boot"),
    ),
    (
        "broadcast 10.240.0.255 dev e0 table local proto kernel scope link src 10.240.0.6 ",
        Route(
            ip_network("10.240.0.255/32"),
            (Hop(None, "e0"),),
            "kernel",
            type="broadcast",
            table="local",
        ),
    ),
    (
        "local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1 ",
        Route(ip_network("127.0.0.0/8"), (Hop(None, "lo"),), "kernel", type="local", table="local"),
    ),
    (
        "unicast fd00:200:1::/64 via fd00:240::7 dev e0 proto 214 scope global metric 1024"
        " expires 98sec mtu 1400 hoplimit 64 pref medium",
        Route(ip_network("fd00:200:1::/64"), (Hop(A6, "e0"),), "214", 1024),
    ),
    (
        "unicast default via fe80::1 dev e0 proto ra scope global metric 100 expires -3sec"
        " pref high",
        Route(ip_network("::/0"), (Hop(ip_address("fe80::1"), "e0"),), "ra", 100),
    ),
    (
        "unreachable fd00:200:2::/64 dev lo proto boot scope global metric 1024 error -113"
        " pref medium",
        Route(ip_network("fd00:200:2::/64"), (Hop(None, "lo"),), "boot", 1024, type="unreachable"),
    ),
    (
        "unicast fd00:200:1::/64 table main proto boot scope global metric 1024 pref medium"
        "\\\tnexthop via fd00:240::7 dev e0 weight 1 \\\tnexthop via fe80::2 dev e1 weight 1 ",
        Route(
            ip_network("fd00:200:1::/64"),
            (Hop(A6, "e0"), Hop(ip_address("fe80::2"), "e1")),
            "boot",
            1024,
        ),
    ),
]


@pytest.mark.parametrize(("line", "meant"), READ, ids=[line.strip()[:60] for line, _ in READ])
def test_reads_what_iproute2_prints(line: str, meant: Route) -> None:
    read = parse(line, meant.prefix.version)
    assert replace(read, text="") == meant
    assert read.text == re.sub(r" (expires \S+|dead|linkdown)\b", "", line.strip())


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        (
            "1 10.200.1.0/24 via 10.240.0.7 dev e0 table 254 proto 4 scope 0 metric 5",
            "unicast 10.200.1.0/24 via 10.240.0.7 dev e0 table main proto static scope global"
            " metric 5",
        ),
        (
            "2 127.0.0.0/8 dev lo table 255 proto 2 scope 254 src 127.0.0.1",
            "local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1",
        ),
        (
            "6 10.200.2.0/24 table 77 proto 3 scope 0",
            "blackhole 10.200.2.0/24 table 77 proto boot scope global",
        ),
        (
            "1 10.200.4.0/24 table 254 proto 12 scope 0 \\\tnexthop via 10.240.0.7 dev e0 weight 2"
            " \\\tnexthop via 10.240.0.8 dev e0 weight 1",
            "unicast 10.200.4.0/24 table main proto bird scope global \\\tnexthop via 10.240.0.7"
            " dev e0 weight 2 \\\tnexthop via 10.240.0.8 dev e0 weight 1",
        ),
    ],
)
def test_numbers_and_names_are_the_same_route(numbers: str, names: str) -> None:
    """As `ip` prints it with -N and without; machines have lines of both in their records."""
    assert parse(numbers, 4) == parse(names, 4)


@pytest.mark.parametrize(
    "encap",
    [
        "ip id 7 src 0.0.0.0 dst 1.2.3.4 ttl 0 tos 4",
        "ip6 id 7 src :: dst fc00::1 hoplimit 0 tc 0",
        "mpls  100/200",
        "mpls  100 ttl 10",
        "seg6 mode encap segs 2 [ fc00::1 fc00::2 ]",
    ],
)
def test_reads_the_way_behind_an_encapsulation(encap: str) -> None:
    read = route(f"10.200.5.0/24  encap {encap} via 10.240.0.7 dev e0 proto bgp metric 20 ")
    assert (read.hops, read.protocol, read.key) == (
        (Hop(A, "e0"),),
        "bgp",
        (ip_network("10.200.5.0/24"), 20, "main", "0"),
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "\\",
        "unicast",
        "blackhole",
        "Error: argument",
        "10.200.1.0/33",
        "10.200.1.5/24 dev e0",  # host bits
        "10.200.1.0/24 via",
        "10.200.1.0/24 via inet6",
        "10.200.1.0/24 via 10.240.0 dev e0",
        "10.200.1.0/24 via 10.240.0.7 dev",
        "10.200.1.0/24 dev e0 metric many",
        "RTNETLINK answers: Operation not permitted",
    ],
)
def test_refuses_what_is_no_route(line: str) -> None:
    with pytest.raises(Unreadable) as error:
        parse(line, 4)
    assert quoted(line) in str(error.value)


WORDS = st.sampled_from(
    "unicast blackhole default via inet inet6 dev metric proto mtu lock table tos nexthop weight"
    " nhid onlink dead expires 98sec 10.200.1.0/24 10.240.0.7 fe80::1 ::/0 0 -1 e0 \\ 99999".split()
)


@given(st.text() | st.lists(WORDS).map(" ".join), st.sampled_from([4, 6]))
def test_hostile_text_is_unreadable_or_a_route_that_can_be_written(line: str, family: int) -> None:
    try:
        read = parse(line, family)
    except Unreadable:
        return
    assert all(isinstance(text, str) for text in (read.words, read.selector, str(read)))


ADDRESSES = {4: st.ip_addresses(v=4), 6: st.ip_addresses(v=6)}
DEVICES = st.from_regex(r"[a-z][a-z0-9@._-]{0,14}", fullmatch=True)


@st.composite
def routes(draw: st.DrawFn) -> Route:
    family = draw(st.sampled_from([4, 6]))
    length = draw(st.integers(0, 32 if family == 4 else 128))
    prefix = ip_network((int(draw(ADDRESSES[family])), length), strict=False)
    if prefix.version != family:  # a small integer is taken for IPv4
        prefix = ip_network(f"::/{length}")
    hop = st.builds(Hop, ADDRESSES[family], DEVICES)
    return Route(
        prefix,
        tuple(draw(st.lists(hop, min_size=1, max_size=3, unique=True))),
        draw(st.sampled_from(["214", "static", "boot", "bgp", "77"])),
        draw(st.integers(0, 2**32 - 1)),
        tos=draw(st.sampled_from(["0", "0x10"])),
    )


@given(routes())
def test_words_are_read_back_as_the_same_route(meant: Route) -> None:
    assert replace(parse(meant.words, meant.prefix.version), text="") == meant


@given(routes(), routes())
def test_selectors_of_two_routes_differ_where_their_keys_or_next_hops_do(
    one: Route, other: Route
) -> None:
    assume(len(one.hops) == len(other.hops) == 1)
    same = (one.key, one.hops, one.protocol) == (other.key, other.hops, other.protocol)
    assert (one.selector == other.selector) == same


@pytest.mark.parametrize(
    ("line", "words", "selector"),
    [
        (
            "10.200.1.0/24 via 10.240.0.7 dev e0 proto 214",
            "10.200.1.0/24 via 10.240.0.7 dev e0 proto 214",
            None,
        ),
        (
            "blackhole 10.200.1.0/24 proto boot metric 3",
            "blackhole 10.200.1.0/24 proto 3 metric 3",
            None,
        ),
        (
            "10.200.1.0/24 tos 0x10 via inet6 fe80::1 dev e0 proto bgp",
            "10.200.1.0/24 tos 0x10 via inet6 fe80::1 dev e0 proto 186",
            None,
        ),
        (
            "10.200.1.0/24 proto bgp nexthop via 10.240.0.7 dev e0 nexthop via 10.240.0.8 dev e1",
            "10.200.1.0/24 proto 186 nexthop via 10.240.0.7 dev e0 nexthop via 10.240.0.8 dev e1",
            "10.200.1.0/24 proto 186",
        ),
    ],
)
def test_is_written_in_the_words_of_ip_route(line: str, words: str, selector: str | None) -> None:
    assert route(line).words.split() == words.split()
    assert route(line).selector.split() == (selector or words).split()


def test_our_route_has_the_metric_that_the_kernel_will_show() -> None:
    four = own_route(ip_network("10.200.1.0/24"), A, "e0")
    six = own_route(ip_network("fd00:200:1::/64"), A6, "e0")
    assert four.owned
    assert six.owned
    assert six.metric == 1024
    assert str(four) == "10.200.1.0/24 via 10.240.0.7 dev e0"
    assert str(six) == "fd00:200:1::/64 via fd00:240::7 dev e0"


def test_a_foreign_route_is_shown_with_what_tells_it_from_ours() -> None:
    shown = str(route("fd00:200:1::/64 via fd00:240::7 dev e0 proto static metric 50"))
    assert shown == "fd00:200:1::/64 via fd00:240::7 dev e0 proto static metric 50"


def test_only_one_next_hop_is_the_next_hop() -> None:
    assert route("10.200.1.0/24 via 10.240.0.7 dev e0").next_hop == A
    assert route("10.200.1.0/24 dev e0").next_hop is None
    assert route("blackhole 10.200.1.0/24").next_hop is None
    several = "10.200.1.0/24 nexthop via 10.240.0.7 dev e0 nexthop via 10.240.0.8 dev e0"
    assert route(several).next_hop is None
