"""Twins to test on: real OpenSSH servers, kernel tables and CNI pods."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Protocol

import pytest

from tasks.common.errors import Stop
from tasks.inventory.model import Cluster, Machine
from tasks.twin.lifecycle import Twin, build
from tests import forked
from tests.forked import PATIENCE
from tests.paths import FAB

KEY = "kubernetes.id_ed25519"


@dataclass(frozen=True)
class Lab:
    """A twin, and a directory with the hosts.toml of an operator who works on it."""

    twin: Twin
    cluster: Cluster
    dir: Path
    home: Path  # of that operator

    def fab(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the project's fab as that operator does, from inside the operator's network.

        It is forked, which is fast, unless it has an environment that Python may read.
        """
        if not environment:
            return forked.fab(*arguments, cwd=self.dir, env=self.environment, network=self.network)
        return subprocess.run(
            [*self.inside, *FAB, *arguments],
            stdin=subprocess.DEVNULL,
            cwd=self.dir,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the program itself: for a test that interrupts it, or types into it."""
        defaults: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environment,
        }
        return subprocess.Popen(
            [*self.inside, *FAB, *arguments],
            cwd=self.dir,
            text=True,
            **{**defaults, **options},
        )

    @property
    def environment(self) -> dict[str, str]:
        """That operator's environment: a provider's program is the twin's stand-in for it."""
        return {"HOME": str(self.home), "PATH": self.twin.path(os.environ["PATH"])}

    @property
    def network(self) -> str:
        """The file of the operator's network namespace."""
        return f"/proc/{self.twin.pid}/ns/net"

    @property
    def inside(self) -> list[str]:
        """What to put before a command to run it in the operator's network."""
        return ["nsenter", f"--net={self.network}", "--"]

    def tables(self) -> dict[str, list[str]]:
        """Every machine's kernel routes, local tables left out."""
        return tables(self.twin)


def tables(twin: Twin) -> dict[str, list[str]]:
    """Every machine's kernel routes of both families, sorted, local tables left out.

    The kernel deletes a probe's link a moment after the probe has ended.
    """
    script = """while ip -o link show type veth | grep -q ': probe'; do sleep 0.02; done
ip -4 -d -o route show table all; ip -6 -d -o route show table all"""
    command = ["timeout", "20", "sh", "-c", script]
    return {
        host.name: sorted(
            line.strip()
            for line in twin.run(host.name, command, check=True).stdout.splitlines()
            if " table local " not in line
        )
        for host in twin.spec.hosts
    }


def links_up(twin: Twin) -> None:
    """Wait until each kernel has seen that its links are up: until then its routes say linkdown."""
    deadline = time.monotonic() + 30
    down = re.compile(r" dev (eth0|enp6s0) .* linkdown")
    while any(down.search(line) for lines in tables(twin).values() for line in lines):
        assert time.monotonic() < deadline, "a link stays down"
        time.sleep(0.02)


def tutorial(workers: int = 3) -> Cluster:
    """The tutorial's cluster, with as many workers as wanted (up to 200)."""
    return Cluster(
        path=Path("hosts.toml"),
        pod_networks=(ip_network("10.200.0.0/16"),),
        node_networks=(ip_network("10.240.0.0/24"),),
        machines=tuple(
            Machine(
                name=f"worker-{n}",
                role="worker",
                public_ip=f"203.0.113.{10 + n}",
                internal_ips=(ip_address(f"10.240.0.{6 + n}"),),
                pod_cidrs=(ip_network(f"10.200.{n}.0/24"),),
            )
            for n in range(workers)
        ),
    )


def hosts_toml(cluster: Cluster) -> str:
    """The hosts.toml that describes a cluster; one value alone is not written as a list."""
    lines = ["[cluster]", f"pod_networks = {_list(cluster.pod_networks)}"]
    if cluster.node_networks:
        lines.append(f"node_networks = {_list(cluster.node_networks)}")
    if cluster.persist != "none":
        lines.append(f'persist = "{cluster.persist}"')
    if cluster.network:
        lines += ["", "[network]", f'provider = "{cluster.network.provider}"']
        lines.append(f'name = "{cluster.network.name}"')
    lines += ["", "[ssh]"]
    ssh = {"user": cluster.ssh.user, "key_file": cluster.ssh.key_file}
    lines += [f'{key} = "{value}"' for key, value in ssh.items() if value]
    if cluster.ssh.port:
        lines.append(f"port = {cluster.ssh.port}")
    lines.append(f'host_keys = "{cluster.ssh.host_keys}"')
    for machine in cluster.machines:
        lines += ["", f"[[{machine.role}s]]", f'name = "{machine.name}"']
        lines.append(f'public_ip = "{machine.public_ip}"')
        if machine.internal_ips:
            lines.append(f"internal_ip = {_list(machine.internal_ips)}")
        if machine.pod_cidrs:
            lines.append(f"pod_cidr = {_list(machine.pod_cidrs)}")
    return "\n".join(lines) + "\n"


def _list(values: Collection[object]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


MakeLab = Callable[..., Lab]


class MakeDirectory(Protocol):
    """What makes directories, as pytest's own factory does."""

    def mktemp(self, basename: str) -> Path:
        """A new directory."""


class Directories:
    """Directories outside of pytest, in one that its caller takes away."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def mktemp(self, basename: str) -> Path:
        """A new directory."""
        return Path(tempfile.mkdtemp(prefix=basename, dir=self._root))


@contextmanager
def labs(tmp_path_factory: MakeDirectory) -> Iterator[MakeLab]:
    """A function `(cluster, pods=None) -> Lab`, whose twins end with the block.

    Its hosts.toml says what the cluster says, with the twin's key as key_file. `pods` names the
    workers where a pod runs. Where no twin can be built the test fails.
    """
    made = []

    def make(cluster: Cluster, pods: Collection[str] | None = None) -> Lab:
        directory = tmp_path_factory.mktemp("lab")
        ssh = replace(cluster.ssh, key_file=Path(KEY))
        here = replace(cluster, path=directory / "hosts.toml", ssh=ssh)
        try:
            twin = build(here, keep=False, pods=pods, start=forked.start_init)
        except Stop as stop:
            pytest.fail(f"no twin: {stop.message}")
        here.path.write_text(hosts_toml(here))
        shutil.copy(twin.home / "key", directory / KEY)
        lab = Lab(twin, here, directory, tmp_path_factory.mktemp("home"))
        made.append(lab)
        links_up(twin)
        return lab

    try:
        yield make
    finally:
        for lab in made:
            lab.twin.stop()


@pytest.fixture
def make_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeLab]:
    """A function `(cluster, pods=None) -> Lab`: builds a twin for this test."""
    with labs(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The tutorial's three workers, as they are before any route is made; one for each module."""
    with labs(tmp_path_factory) as make:
        yield make(tutorial())


@pytest.fixture(scope="module")
def twin(lab: Lab) -> Twin:
    """The twin of `lab`."""
    return lab.twin


@pytest.fixture(scope="module")
def fab(lab: Lab) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`fab(*arguments, **environment)`: the project's fab in `lab`, as its operator runs it."""
    return lab.fab
