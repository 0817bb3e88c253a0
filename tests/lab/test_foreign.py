"""Foreign routes in the way: refused, displaced with --replace, and put back by rollback.

One twin for each family: a test takes its own routes away, and leaves the tables that it found.
"""

from collections.abc import Iterator

import pytest

from .conftest import Lab, labs
from .kit import dual_stack, ok, on

FOREIGN = {
    "another next hop": "ip route add 10.200.1.0/24 via 10.240.0.99 proto static mtu 1400",
    "a better metric": "ip route add 10.200.1.0/24 via 10.240.0.99 proto bird metric 5; "
    "ip route add 10.200.1.0/24 via 10.240.0.98 proto static metric 50",
    "a worse metric": "ip route add 10.200.1.0/24 via 10.240.0.99 metric 700",
    "more specific": "ip route add 10.200.1.128/25 via 10.240.0.99",
    "a blackhole": "ip route add blackhole 10.200.1.0/24",
    "unreachable": "ip route add unreachable 10.200.1.0/24 metric 9",
    "multipath": "ip route add 10.200.1.0/24 proto static mtu lock 1400"
    " nexthop via 10.240.0.98 weight 3 nexthop via 10.240.0.99 weight 1",
    "another TOS": "ip route add 10.200.1.0/24 tos 0x10 via 10.240.0.99",
}


FOREIGN_IPV6 = {
    "another next hop": "ip route add fd00:200:0:1::/64 via fd00:240::99 mtu 1400",
    "other metrics": "ip route add fd00:200:0:1::/64 via fd00:240::99 metric 5;"
    " ip route add fd00:200:0:1::/64 via fd00:240::98 proto static metric 2000",
    "multipath": "ip route add fd00:200:0:1::/64 proto static"
    " nexthop via fd00:240::98 nexthop via fd00:240::99",
    "multipath that the right hop is part of": "ip route add fd00:200:0:1::/64 via fd00:240::7;"
    " ip route append fd00:200:0:1::/64 via fd00:240::99",
    "a blackhole": "ip -6 route add blackhole fd00:200:0:1::/64",
    "more specific": "ip route add fd00:200:0:1:8000::/65 via fd00:240::99",
}


OURS = (
    "unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 table main proto 214 scope global",
    "unicast fd00:200:0:1::/64 via fd00:240::7 dev enp6s0 table main proto 214 scope global"
    " metric 1024 pref medium",
)


@pytest.fixture(scope="module")
def dual_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Machines of both families, as they are before any route is made."""
    with labs(tmp_path_factory) as make:
        yield make(dual_stack())


@pytest.mark.parametrize("command", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_foreign_and_in_the_way(lab: Lab, command: str) -> None:
    displaced_and_put_back(lab, command, "ip route flush root 10.200.1.0/24")


@pytest.mark.parametrize("command", FOREIGN_IPV6.values(), ids=FOREIGN_IPV6.keys())
def test_what_is_foreign_and_in_the_way_in_ipv6(dual_lab: Lab, command: str) -> None:
    displaced_and_put_back(dual_lab, command, "ip -6 route flush root fd00:200:0:1::/64")


def displaced_and_put_back(lab: Lab, command: str, clean: str) -> None:
    found = lab.tables()
    on(lab, "worker-0", command)
    before = lab.tables()
    refused = lab.fab("apply-routes", "--yes")
    assert "conflict at" in ok(refused, status=1)
    assert "worker-0" in refused.stdout
    assert lab.tables() == before

    ok(lab.fab("apply-routes", "--replace", "--yes"))
    after = lab.tables()["worker-0"]
    assert set(OURS) & set(after)
    assert not [line for line in after if is_foreign(line)]
    assert "nothing to do" in ok(lab.fab("apply-routes"))

    ok(lab.fab("rollback"))
    assert lab.tables() == before
    assert on(lab, "worker-0", "ls /run/pod-routes/displaced") == ""
    on(lab, "worker-0", clean)
    assert lab.tables() == found


def is_foreign(line: str) -> bool:
    """Whether a line of a table is a route of the tests above."""
    return any(words in line for words in ("10.240.0.9", "fd00:240::9", "blackhole", "unreachable"))
