"""What the tests on a twin share: running on a machine, judging how a command line ended."""

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import IO

from tasks.inventory.model import Cluster

from .conftest import Lab, tutorial

# Whether no watchdog and no session of an operator is alive anywhere in the twin.
QUIET = "! ps ax -o args | grep -q '^[s]h /run/pod-routes/.*watch\\|^[s]shd: root'"


def dual_stack(workers: int = 2) -> Cluster:
    """The tutorial's workers with an IPv6 address and pod CIDR each, and a controller."""
    four = tutorial(workers)
    controller = replace(
        four.machines[0],
        name="controller-0",
        role="controller",
        public_ip="203.0.113.50",
        internal_ips=(ip_address("10.240.0.50"), ip_address("fd00:240::50")),
        pod_cidrs=(),
    )
    return replace(
        four,
        pod_networks=(*four.pod_networks, ip_network("fd00:200::/48")),
        node_networks=(*four.node_networks, ip_network("fd00:240::/64")),
        machines=(
            *(
                replace(
                    m,
                    internal_ips=(*m.internal_ips, ip_address(f"fd00:240::{6 + n}")),
                    pod_cidrs=(*m.pod_cidrs, ip_network(f"fd00:200:0:{n}::/64")),
                )
                for n, m in enumerate(four.machines)
            ),
            controller,
        ),
    )


def routing(lab: Lab, way: str, bgp: str = "") -> None:
    """Have hosts.toml say `routing = "static"` or `"bgp"`, with these lines in [bgp]."""
    file = lab.dir / "hosts.toml"
    kept = file.read_text().partition("\n[bgp]")[0].splitlines(keepends=True)
    lines = [line for line in kept if not line.startswith("routing = ")]
    at = lines.index("[cluster]\n") + 1
    table = f"\n[bgp]\n{bgp}\n" if bgp and way == "bgp" else ""
    file.write_text("".join([*lines[:at], f'routing = "{way}"\n', *lines[at:]]) + table)


def on(lab: Lab, machine: str, command: str) -> str:
    """Run a command line on a machine as root; it has to succeed."""
    done = lab.twin.run(machine, ["sh", "-c", command])
    assert done.returncode == 0, done.stderr
    return done.stdout


def ok(done: "subprocess.CompletedProcess[str]", status: int = 0) -> str:
    """The output of a command line that has to end with this status, and without a traceback."""
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def says(page: Path, text: str, heading: str = "") -> bool:
    """Whether a page says this under a heading, or before the first; if not, write it anew."""
    parts = re.split("(?m)^(?=## )", page.read_text() if page.exists() else "")
    places = [n for n, part in enumerate(parts) if part.startswith(f"## {heading}\n")]
    place = (places or [len(parts)])[0] if heading else 0
    wanted = [*parts[:place], text, *parts[place + 1 :]]
    now = "\n".join(part.strip() + "\n" for part in wanted)
    same = page.exists() and page.read_text() == now
    if not same:
        page.write_text(now)
    return same


@contextmanager
def running(argv: Sequence[str], output: IO[str]) -> Iterator[None]:
    """A program that is killed at the end of the block, with what it started."""
    with subprocess.Popen(argv, stdout=output, start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def monitor(lab: Lab, machine: str) -> Iterator[list[str]]:
    """The route and neighbour events of a machine while the block runs, as `ip monitor` says."""
    mark = "ip route add {0} dev lo && ip route del {0} dev lo"
    events: list[str] = []
    inside = lab.twin.inside(machine)
    with subprocess.Popen(
        [*inside, "timeout", "60", "ip", "-o", "monitor", "route", "neigh"],
        stdout=subprocess.PIPE,
        text=True,
    ) as listener:
        assert listener.stdout is not None
        while not select.select([listener.stdout], [], [], 0.05)[0]:
            on(lab, machine, mark.format("192.0.2.1"))
        yield events
        on(lab, machine, mark.format("192.0.2.2"))
        for line in listener.stdout:
            if line.startswith("192.0.2.2"):
                break
            events.append(line)
        on(lab, machine, "pkill -x timeout")
