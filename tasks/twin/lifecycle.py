"""The twin: a copy of the cluster in hosts.toml, made of network namespaces on this machine."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tasks.common import files, values
from tasks.common.errors import Stop
from tasks.common.terminal import is_interactive
from tasks.inventory.model import Cluster
from tasks.snapshots.gap import Gap
from tasks.snapshots.model import Snapshot

from . import registry
from .copy import design_copy, stand_ins
from .design import Spec, design
from .kernel import ENVIRONMENT
from .machine import HOME, KEEP, PLUGINS, POD, machine_home
from .namespaces import NEWNET, enter
from .registry import Process
from .router import PROGRAMS
from .start import Start, Starter, ask, start_init

PACKAGES = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "iptables": "iptables",
}


@dataclass(frozen=True)
class Twin:
    """A twin that is up. `init`: its PID 1."""

    init: Process
    spec: Spec
    processes: tuple[tuple[int, int | None], ...]  # pids: a machine's first process, its pod
    differs: tuple[tuple[Gap, ...], ...] = ()  # by machine: in what it is no copy
    # A twin that dies with this process ends when `lifeline` is closed. A plain descriptor and
    # no file object: the twin must not end because a Twin is garbage-collected.
    lifeline: int | None = field(default=None, repr=False)
    starter: Starter | None = field(default=None, repr=False, compare=False)

    @property
    def pid(self) -> int:
        """The pid of its PID 1, as this machine's /proc numbers it."""
        return self.init.pid

    @property
    def invented(self) -> tuple[str, ...]:
        """The values that hosts.toml leaves out and the twin invented, a line each."""
        return self.spec.invented

    @property
    def home(self) -> Path:
        """The directory of the twin's own files, as a path of this machine."""
        return _seen(self.init, HOME)

    def path(self, path: str) -> str:
        """A PATH that has the twin's stand-ins for the programs of a provider in front."""
        return f"{_seen(self.init, PROGRAMS)}{os.pathsep}{path}" if self.spec.router else path

    def enter(self) -> None:
        """Move the calling thread, and threads it starts later, into the operator's network."""
        enter(self.init.proc / "ns/net", NEWNET)

    def cluster(self, cluster: Cluster) -> Cluster:
        """The same cluster with the twin's addresses and keys in place of the real ones.

        Raises Stop where a machine was added to hosts.toml after the twin was built.
        """
        names = {host.name for host in self.spec.hosts}
        new = [machine.name for machine in cluster.machines if machine.name not in names]
        if new:
            raise Stop(f"not in the twin that is up: {', '.join(new)}; lab.down, then lab.up")
        network = cluster.network
        return replace(
            cluster,
            network=replace(network, memory=self.home / "network.json") if network else None,
            machines=tuple(
                replace(machine, public_ip=self.spec.host(machine.name).address)
                for machine in cluster.machines
            ),
            ssh=replace(
                cluster.ssh,
                user=self.spec.user,
                port=self.spec.port,
                key_file=self.home / "key",
                host_keys="strict",
                known_hosts=self.home / "known_hosts",
                operators_own=False,
            ),
        )

    def run(
        self, machine: str, argv: Sequence[str], check: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root on a machine. `options` are those of subprocess.run."""
        return _run([*self.inside(machine), *argv], check, options)

    def run_in_pod(
        self, machine: str, argv: Sequence[str], check: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the network of a machine's pod, with the machine's files."""
        return _run([*self.inside(machine, pod=True), *argv], check, options)

    def shell(self, machine: str) -> int:
        """Run a shell on a machine, on this terminal. Returns the exit status of the shell."""
        # This terminal belongs to another pid namespace, so the shell would have no job control.
        # script(1) makes a terminal inside the machine.
        terminal = ["script", "--quiet", "--return", "--command", "bash", "/dev/null"]
        argv = terminal if is_interactive() else ["bash"]
        environment = ENVIRONMENT | {"TERM": os.environ.get("TERM", "dumb"), "SHELL": "/bin/bash"}
        return subprocess.call([*self.inside(machine), *argv], env=environment)

    def inside(self, machine: str, pod: bool = False) -> list[str]:
        """The words before a command that run it on a machine, or in the network of its pod."""
        of_machine, of_pod = self.processes[self._index(machine)]
        if pod and of_pod is None:
            raise Stop(f"{machine}: no pod runs there")
        inside = _seen(self.init, Path("/proc")) / str(of_machine) / "ns"
        network = _seen(self.init, Path("/proc")) / str(of_pod if pod else of_machine) / "ns/net"
        return [
            "nsenter",
            f"--pid={inside / 'pid'}",
            f"--ipc={inside / 'ipc'}",
            f"--net={network}",
            f"--uts={inside / 'uts'}",
            f"--mount={inside / 'mnt'}",
            "--",
        ]

    def _index(self, machine: str) -> int:
        return self.spec.hosts.index(self.spec.host(machine))

    def pod_addresses(self, machine: str) -> tuple[str, ...]:
        """The addresses of a machine's pod, from the store of the host-local plugin."""
        upper = _seen(self.init, machine_home(self._index(machine))) / "upper"
        store = upper / "var/lib/cni/networks/bridge"
        if not store.is_dir():
            return ()
        return tuple(sorted(path.name for path in store.iterdir() if _is_of_pod(path)))

    def sshd_pids(self) -> dict[str, int]:
        """The pid of each machine's running sshd, as this machine's /proc numbers it."""
        namespace = (self.init.proc / "ns/pid").readlink()
        outer = {}
        for pid in _pids():
            with contextlib.suppress(OSError):  # it has just ended
                if Path(f"/proc/{pid}/ns/pid").readlink() == namespace:
                    outer[_inner_pid(pid)] = pid
        found = {}
        for host, (first, _) in zip(self.spec.hosts, self.processes, strict=True):
            file = _seen(self.init, Path(f"/proc/{first}/root/run/sshd.pid"))
            inner = _text(file).strip()
            if inner in outer:
                found[host.name] = outer[inner]
        return found

    def stop(self) -> None:
        """Stop the twin. Returns when none of its processes is left. May be called again."""
        if self.starter is not None and self.starter.returncode is not None:
            return
        self.init.end()
        if self.starter is not None:
            self.starter.wait()
        if self.lifeline is not None:
            os.close(self.lifeline)


def build(
    cluster: Cluster,
    *,
    keep: bool,
    pods: Collection[str] | None = None,
    start: Start = start_init,
) -> Twin:
    """Start the twin of a cluster. Returns when every sshd listens.

    With `keep`, the twin stays up until `stop`, and `find` finds it. Without, it ends with this
    process, even if that is killed. `pods`: the workers with a pod, None for all workers. `start`
    starts its PID 1. Raises Stop where this machine cannot run a twin.
    """
    check_machine()
    return _bring_up(design(cluster, pods), cluster.path, start, keep=keep)


def copy(snapshot: Snapshot, path: Path, user: str | None = None) -> Twin:
    """Start the copy of the machines of a snapshot. It ends with this process.

    `path`: of hosts.toml or of the snapshot. `user`: who logs in, None for root. Raises Stop where
    this machine cannot run a twin.
    """
    check_machine()
    return _bring_up(design_copy(snapshot, user), path, start_init, keep=False)


def not_copied(snapshot: Snapshot, twin: Twin) -> dict[str, list[Gap]]:
    """What the copy of each machine lacks; only of machines of which something is."""
    gaps = {
        member.name: [*member.state.missing, *stand_ins(member.state), *differs]
        for member, differs in zip(snapshot.machines, twin.differs, strict=True)
    }
    return {name: found for name, found in gaps.items() if found}


def _bring_up(spec: Spec, path: Path, start: Start, *, keep: bool) -> Twin:
    reading, lifeline = os.pipe()
    process = start(path, reading)
    os.close(reading)
    try:
        init = registry.hold(ask(process, lifeline, spec))
        twin = _read(init)
        if keep:
            registry.record(path, init)
            os.write(lifeline, KEEP)
    except BaseException:
        os.close(lifeline)  # ends the twin
        process.wait()
        raise
    if keep:
        os.close(lifeline)
    return replace(twin, lifeline=None if keep else lifeline, starter=process)


def _run(
    argv: Sequence[str], check: bool, options: Mapping[str, Any]
) -> subprocess.CompletedProcess[str]:
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "env": ENVIRONMENT}
    if "input" not in options:
        defaults["stdin"] = subprocess.DEVNULL
    return subprocess.run(argv, check=check, **{**defaults, **options})


def find(inventory: Path) -> Twin | None:
    """The twin that is kept up for a hosts.toml, if there is one."""
    init = registry.find(inventory)
    if init is None:
        return None
    try:
        return _read(init)
    except (OSError, ValueError):
        raise Stop(
            f"the twin of {inventory} (pid {init.pid}) cannot be read: lab.down, then lab.up"
        ) from None


def _read(init: Process) -> Twin:
    """The twin of a PID 1. Raises OSError or ValueError where its files are missing or wrong."""
    home = _seen(init, HOME)
    spec = Spec.from_text(files.content(home / "spec").decode())
    pids = TypeAdapter(tuple[tuple[int, int | None], ...])
    processes = pids.validate_json(files.content(home / "processes"))
    differs = TypeAdapter(tuple[tuple[Gap, ...], ...]).validate_json(
        files.content(home / "differs")
    )
    if not len(processes) == len(differs) == len(spec.hosts):
        raise ValueError("other machines than the twin has")
    return Twin(init, spec, processes, differs)


def _seen(init: Process, path: Path) -> Path:
    """The path on this machine of a path inside a twin."""
    return init.proc / "root" / path.relative_to("/")


def _text(path: Path) -> str:
    """The text of a file; empty where it cannot be read."""
    try:
        return files.content(path).decode(errors="replace")
    except OSError:
        return ""


def _is_of_pod(path: Path) -> bool:
    """Whether this file of host-local's store records an address of the twin's pod."""
    try:
        values.address(path.name)
    except ValueError:  # the lock, or the record of the last address
        return False
    return _text(path).split()[:1] == [POD]


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _inner_pid(pid: int) -> str:
    """A process's pid in its own pid namespace."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]


def check_machine() -> None:
    """Raise Stop unless this machine has what a twin needs: root and a few programs."""
    if os.geteuid() != 0:
        raise Stop("a twin needs root: put sudo before the command")
    path = ENVIRONMENT["PATH"]
    missing = {package for name, package in PACKAGES.items() if not shutil.which(name, path=path)}
    if not any((plugins / "bridge").exists() for plugins in PLUGINS):
        missing.add("containernetworking-plugins")
    if missing:
        packages = " ".join(sorted(missing))
        raise Stop(f"a twin needs programs that are not here: apt-get install {packages}")
