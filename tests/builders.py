"""Small factories for what the pure tests are about: clusters, machines, facts, routes."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Literal

from tasks.common.values import Network
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Route, parse

DEV = "enp6s0"
POD_NETWORKS: tuple[Network, ...] = (ip_network("10.200.0.0/16"), ip_network("fd00:200::/32"))


def route(line: str) -> Route:
    """A route from a line as `ip route` prints it, of the family that its prefix has."""
    return parse(line, 6 if ":" in line.partition(" via ")[0] else 4)


def node(number: int, family: int = 4) -> str:
    """The internal IP of a machine, as in the tutorial."""
    return str(ip_address("10.240.0.6" if family == 4 else "fd00:240::6") + number)


def pods(number: int, family: int = 4) -> str:
    """The pod CIDR of a worker, as in the tutorial."""
    if family == 4:
        return f"{ip_address('10.200.0.0') + 256 * number}/24"
    return f"fd00:200:{number:x}::/64"


def machine(
    number: int, role: Literal["worker", "controller"] = "worker", families: Sequence[int] = (4,)
) -> Machine:
    return Machine(
        name=f"{role}-{number}",
        role=role,
        public_ip=f"203.0.113.{10 + number}",
        internal_ips=tuple(ip_address(node(number, f)) for f in families),
        pod_cidrs=tuple(ip_network(pods(number, f)) for f in families) if role == "worker" else (),
    )


def cluster(workers: int = 3, controllers: int = 0, families: Sequence[int] = (4,)) -> Cluster:
    """The tutorial's cluster; controllers are numbered on from the workers."""
    return Cluster(
        Path("hosts.toml"),
        tuple(n for n in POD_NETWORKS if n.version in families),
        (
            *(machine(i, "worker", families) for i in range(workers)),
            *(machine(workers + i, "controller", families) for i in range(controllers)),
        ),
    )


def links(families: Sequence[int] = (4,)) -> tuple[Route, ...]:
    """What every machine has before anyone adds a route: its link and a default route."""
    lines = {
        4: (f"default via 10.240.0.1 dev {DEV} proto static", f"10.240.0.0/24 dev {DEV}"),
        6: (
            f"default via fd00:240::1 dev {DEV} proto ra metric 100",
            f"fd00:240::/64 dev {DEV} metric 256",
        ),
    }
    return tuple(
        route(line if "proto" in line else f"{line} proto kernel")
        for family in families
        for line in lines[family]
    )


def facts(number: int, *lines: str, families: Sequence[int] = (4,), **more: object) -> Facts:
    """What a machine says of itself, with some routes of its own on top."""
    values: dict[str, object] = {
        "routes": (*links(families), *map(route, lines)),
        "addresses": tuple(
            (DEV, ip_interface(f"{node(number, f)}/{24 if f == 4 else 64}")) for f in families
        ),
    }
    return Facts(**{**values, **more})  # type: ignore[arg-type]


def wanted(to: int, family: int = 4) -> str:
    """The line that our route to a worker has in the table."""
    metric = "" if family == 4 else " metric 1024"
    return f"{pods(to, family)} via {node(to, family)} dev {DEV} proto 214{metric}"
