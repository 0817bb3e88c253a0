"""What `ip` prints, as what `ip` takes: only words that it knows, and no second command."""

import pytest

from tasks.iproute.printed import neighbour_words, route_words, rule_words, same_route


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "1 10.1.0.0/16 via 10.0.0.7 dev eth0 table 254 proto 3 scope 0 linkdown ",
            "unicast 10.1.0.0/16 via 10.0.0.7 dev eth0 table main proto boot scope global",
        ),
        ("6 10.2.0.0/16 table 8 proto 3 scope 0 metric 3 ", "blackhole 10.2.0.0/16 table 8"),
        ("1 default via inet6 fe80::1 dev a#b table 254", None),
        (
            "1 fd00::/64 dev eth0 table 254 metric 256 expires 20sec pref medium",
            "unicast fd00::/64 dev",
        ),
        ("7 default dev lo table 7 metric 9 error -101 pref medium", "unreachable default dev lo"),
        (
            "1 10.3.0.0/16 table 254 proto 3 scope 0 \\\tnexthop via 10.0.0.3 dev eth0 weight 2 "
            "\\\tnexthop via 10.0.0.4 dev eth0 weight 1 ",
            "unicast 10.3.0.0/16 table main proto boot scope global nexthop via 10.0.0.3 dev eth0",
        ),
        (
            "1 10.4.0.0/16 nhid 7 via 10.0.0.3 dev eth0 mtu lock 1300",
            "unicast 10.4.0.0/16 via 10.0.0.3",
        ),
        ("1 10.5.0.0/16 dev eth0 rto_min lock 20ms", "unicast 10.5.0.0/16 dev eth0"),
        ("1 10.5.0.0/16 encap mpls 100 via 10.0.0.3 dev eth0", None),
        ("1 10.5.0.0/16 via 10.0.0.3 dev eth0 ;id", None),
        ("1 10.5.0.0/16 via $(id) dev eth0", None),
        ("10.5.0.0", "10.5.0.0"),
        ("10.5.0.1/24 dev eth0", None),
        ("1", None),
        ("", None),
        ("1 10.5.0.0/16 via", None),
    ],
)
def test_a_route(line: str, words: str | None) -> None:
    if words is None:
        with pytest.raises(ValueError, match=r"."):
            route_words(line)
    else:
        assert route_words(line).startswith(words)
        assert same_route(line).replace("rto_min lock", "rto_min") == route_words(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0:\tfrom all lookup 255 proto 2", "pref 0 from all lookup 255 proto 2"),
        (
            "99:\tnot from 10.0.0.0/8 fwmark 0x1/0x3 iif v [detached] lookup 8 proto 0",
            "pref 99 not from 10.0.0.0/8 fwmark 0x1/0x3 iif v lookup 8 proto 0",
        ),
        ("9:\tfrom all to 10.1.0.0/16 6 proto 3", "pref 9 from all to 10.1.0.0/16 blackhole proto"),
        ("9:\tfrom all ipproto ipproto-6 lookup 8", "pref 9 from all ipproto 6 lookup 8"),
        ("9:\tfrom all lookup [l3mdev-table]", None),
        ("x:\tfrom all lookup 8", None),
        ("9:\tfrom all lookup 8\nroute flush all", None),
        ("9:\tfrom all exec 8", None),
    ],
)
def test_a_rule(line: str, words: str | None) -> None:
    if words is None:
        with pytest.raises(ValueError, match=r"."):
            rule_words(line)
    else:
        assert rule_words(line).startswith(words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "10.0.0.9 dev v lladdr 02:00:00:00:00:99 PERMANENT ",
            "10.0.0.9 dev v lladdr 02:00:00:00:00:99 nud permanent",
        ),
        ("10.0.0.8 dev v proxy ", "proxy 10.0.0.8 dev v"),
        ("10.0.0.8 dev v extern_learn ", None),
        ("10.0.0.8 dev v lladdr $(id) PERMANENT", None),
        ("10.0.0.8", None),
    ],
)
def test_a_neighbour(line: str, words: str | None) -> None:
    if words is None:
        with pytest.raises(ValueError, match=r"."):
            neighbour_words(line)
    else:
        assert neighbour_words(line) == words
