"""The router of a twin's provider network: a network namespace, with a link to each machine.

It leads packets by the provider's table, which a stand-in for the provider's program changes. A
blackhole takes what leads nowhere, without an answer.

As at Hetzner each machine is alone with the router. Strict reverse-path filtering (RFC 3704, 2.2)
drops a packet whose source is neither the machine's own address nor in a route to that machine. As
at AWS the machines of a subnet are on one link. Each port passes only packets from and to its
machine's address, until that check is switched off.
"""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tasks.common import values
from tasks.common.script import script

from . import aws, hcloud
from .design import Spec
from .kernel import forward, ip, run, set_value
from .machine import HOME
from .namespaces import BIND, NEWNET, coming_back, mount, unshare
from .stand_in import ROUTER, make_lead
from .wiring import Nic, Router, first

NAMESPACES = Path("/run/netns")  # where ip-netns(8) keeps them, and finds them by name
PROGRAMS = HOME / "bin"  # the stand-ins
TABLE = HOME / "table"
STAND_INS = {"hetzner": hcloud, "aws": aws}
LAST = (1 << 32) - 1  # the metric that any other route wins against


def make(spec: Spec) -> None:
    """Make the router, its table, and the stand-in; nothing for a twin that has no router."""
    if spec.router is None:
        return
    # Not by `ip netns add`: that shares the mount with the machines, and one that leaves its old
    # root unmounts it.
    namespace = NAMESPACES / ROUTER
    namespace.parent.mkdir()
    namespace.touch()
    with coming_back():
        unshare(NEWNET)
        mount("/proc/self/ns/net", namespace, flags=BIND)
        forward()
        for which in ("all", "default"):
            set_value(f"ipv4/conf/{which}/rp_filter", "0" if spec.router.linked else "1")
            set_value(f"ipv4/conf/{which}/send_redirects", "0")
        ip("link set lo up", f"route add blackhole default metric {LAST}")
        if spec.router.linked:  # and no hop that traceroute(8) shows
            run(["iptables", "-t", "mangle", "-A", "PREROUTING", "-j", "TTL", "--ttl-inc", "1"])
    stand_in = STAND_INS[spec.router.provider]
    table = stand_in.table_of(spec)
    TABLE.write_text(json.dumps(table))
    make_lead(namespace, stand_in.leading(table))
    _write_program(stand_in)


def _write_program(stand_in: ModuleType) -> None:
    """Write the file that stands for the provider's program."""
    PROGRAMS.mkdir()
    program = PROGRAMS / stand_in.PROGRAM
    flags = ("-B",) if sys.dont_write_bytecode else ()
    text = script(
        "twin/program.sh",
        python=shlex.join((sys.executable, *flags, "-m", stand_in.__name__)),
        project=str(Path(__file__).parents[2]),
    )
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def connect(spec: Spec, ports: Sequence[tuple[str, Nic]]) -> None:
    """Move the operator's ends of these links to the router, with the routes to their machines."""
    if spec.router is None:
        return
    ip(*(f"link set {name} netns {ROUTER}" for name, _ in ports))
    lines = list((_subnets if spec.router.linked else _alone)(spec.router, ports))
    run(["ip", "-netns", ROUTER, "-batch", "-"], "".join(f"{line}\n" for line in lines))


def _alone(router: Router, ports: Sequence[tuple[str, Nic]]) -> Iterator[str]:
    """The commands of ip(8) that make the router the other end of each link."""
    for name, nic in ports:
        yield f"link set {name} up"
        yield f"addr add {router.address}/32 dev {name}"
        for address in nic.addresses:
            yield f"route add {address} dev {name}"


def _subnets(router: Router, ports: Sequence[tuple[str, Nic]]) -> Iterator[str]:
    """The commands of ip(8) that make each subnet one link, with the router on it."""
    subnets = list(map(values.network, router.subnets))
    for number, subnet in enumerate(subnets):
        yield f"link add subnet{number} type bridge"
        yield f"addr add {first(subnet)}/{subnet.prefixlen} dev subnet{number}"
        yield f"link set subnet{number} up"
    for name, nic in ports:
        own = {values.interface(address).network for address in nic.addresses}
        number = next(n for n, subnet in enumerate(subnets) if subnet in own)
        yield f"link set {name} master subnet{number} up"
