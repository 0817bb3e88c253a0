"""A log of routes, replayed."""

from .route_log import without_route

PODS = {"10.200.1.0/24", "fd00:200:0:1::/64"}
STATIC = "10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214"
BGP = "10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto bird metric 2140"


def test_one_of_two_routes_may_go() -> None:
    assert without_route([STATIC], [BGP, f"Deleted {STATIC}", STATIC, f"Deleted {BGP}"], PODS) == []


def test_the_last_one_may_not_even_for_a_moment() -> None:
    events = [BGP, BGP, f"Deleted {BGP}", f"Deleted {STATIC}", STATIC, f"Deleted {STATIC}"]
    assert without_route([STATIC], events, PODS) == ["10.200.1.0/24"] * 2


def test_others_and_those_that_come_later_do_not_count() -> None:
    events = ["Deleted 192.0.2.0/24 dev lo", STATIC]
    assert without_route(["default via 203.0.113.1 dev eth0"], events, PODS) == []
