from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.iproute.route import Hop, Route, number_of
from tasks.iproute.table import Lookup
from tests.builders import route

TABLE = Lookup(
    map(
        route,
        [
            "default via 10.240.0.1 dev e0 proto dhcp metric 100",
            "10.240.0.0/24 dev e0 proto kernel",
            "10.240.0.0/24 dev e1 proto kernel metric 20",
            "10.240.0.9 via 10.240.0.1 dev e0",
            "10.99.0.0/16 nexthop via 10.240.0.1 dev e0 nexthop via 10.240.0.2 dev e0",
            "blackhole 10.98.0.0/16",
            "unreachable fd00:98::/32 dev lo metric 1024",
            "fd00:240::/64 dev e0 proto kernel metric 256",
            "10.97.0.0/16 dev wg0 table 100",
            "10.97.0.0/16 tos 0x10 dev wg1",
        ],
    )
)


@pytest.mark.parametrize(
    ("address", "prefix", "link"),
    [
        ("10.240.0.7", "10.240.0.0/24", "e0"),  # on a link, at the better metric
        ("10.240.0.9", "10.240.0.9/32", None),  # the longest prefix goes by a gateway
        ("10.99.1.1", "10.99.0.0/16", None),  # several ways
        ("10.98.1.1", "10.98.0.0/16", None),
        ("fd00:98::1", "fd00:98::/32", None),  # `dev lo` is no link there
        ("10.97.1.1", "0.0.0.0/0", None),  # other tables and TOS are not the main way
        ("fd00:240::7", "fd00:240::/64", "e0"),
        ("fd00:241::7", None, None),
    ],
)
def test_finds_the_route_that_the_kernel_would_use(
    address: str, prefix: str | None, link: str | None
) -> None:
    found = TABLE.route_to(ip_address(address))
    assert (found and str(found.prefix)) == prefix
    assert TABLE.link_to(number_of(ip_address(address))) == link


PREFIXES = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda pair: ip_network(pair, strict=False)
)
ROUTES = st.lists(
    st.builds(
        lambda prefix, metric: Route(prefix, (Hop(None, "e0"),), metric=metric),
        PREFIXES,
        st.integers(0, 3),
    )
)


@given(ROUTES, st.ip_addresses(v=4))
def test_agrees_with_looking_at_every_route(table: list[Route], address: IPv4Address) -> None:
    fitting = [r for r in table if address in r.prefix]
    best = min(fitting, key=lambda r: (-r.prefix.prefixlen, r.metric), default=None)
    assert Lookup(table).route_to(address) == best
