"""The router of a twin's provider network: a network namespace, with a link to each machine.

It leads packets by the provider's table, which a stand-in for the provider's program changes.
Strict reverse-path filtering (RFC 3704, 2.2) drops a packet whose source is neither the machine's
own address nor in a route to that machine. A blackhole takes what leads nowhere. Neither answers.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.common.script import script

from . import hcloud
from .design import Spec
from .machine import HOME, forward, ip, run, set_sysctl
from .namespaces import BIND, NEWNET, coming_back, mount, unshare
from .wiring import ROUTER, Nic

NAMESPACES = Path("/run/netns")  # where ip-netns(8) keeps them, and finds them by name
PROGRAMS = HOME / "bin"  # the stand-ins
TABLE = HOME / "table"
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
            set_sysctl(f"ipv4/conf/{which}/rp_filter", "1")
            set_sysctl(f"ipv4/conf/{which}/send_redirects", "0")
        ip("link set lo up", f"route add blackhole default metric {LAST}")
    TABLE.write_text(json.dumps(hcloud.table_of(spec)))
    PROGRAMS.mkdir()
    program = PROGRAMS / "hcloud"
    flags = ("-B",) if sys.dont_write_bytecode else ()
    stand_in = script(
        "twin/stand_in.sh",
        python=shlex.join((sys.executable, *flags, "-m", "tasks.twin.hcloud")),
        project=str(Path(__file__).parents[2]),
    )
    program.write_text(f"#!/bin/sh\n{stand_in}\n")
    program.chmod(0o755)


def connect(spec: Spec, ports: Sequence[tuple[str, Nic]]) -> None:
    """Move the operator's ends of these links to the router, with the routes to their machines."""
    if spec.router is None:
        return
    ip(*(f"link set {name} netns {ROUTER}" for name, _ in ports))
    lines = []
    for name, nic in ports:
        lines.append(f"link set {name} up")
        lines.append(f"addr add {spec.router.address}/32 dev {name}")
        lines += [f"route add {address} dev {name}" for address in nic.addresses]
    run(["ip", "-netns", ROUTER, "-batch", "-"], "".join(f"{line}\n" for line in lines))
