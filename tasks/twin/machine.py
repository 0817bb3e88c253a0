"""Makes one machine of a twin: its namespaces, links, files, sshd and pod."""

import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.common import values
from tasks.snapshots.gap import Gap

from . import root_files
from .design import Host, Spec
from .kernel import BrokenError, address_line, forward, ip, no_dad, run, start, start_network
from .namespaces import (
    BIND,
    BIND_ALL,
    NEWNET,
    NEWNS,
    NEWUTS,
    NOSUID_NODEV,
    change_root,
    mount,
    unshare,
)
from .restore import restore
from .stand_in import ROUTER
from .wiring import Nic, port

HOME = Path("/run/twin")  # on a tmpfs inside the twin
PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
POD = "twin-pod"  # its container id in the store of the host-local plugin
KEEP = b"keep\n"  # tells PID 1 of a twin to outlive the process that built it
PATIENCE = 10.0  # seconds for an sshd to listen


@dataclass(frozen=True)
class Made:
    """A machine that is made. `pod`: the pid of its pod. `differs`: where it is no copy."""

    pod: int | None
    differs: tuple[Gap, ...] = ()


def machine_home(index: int) -> Path:
    """The directory inside the twin with the layers of a machine's file system."""
    return HOME / "machines" / str(index)


def make(index: int, spec: Spec, plugins: Path) -> Made:
    """Make one machine and move this process into it."""
    host = spec.hosts[index]
    home = machine_home(index)
    for name in ("upper", "work", "root"):
        (home / name).mkdir(parents=True)
    root_files.write(root_files.own(host), home / "upper")
    _host_key(home / "upper")
    unshare(NEWNET | NEWUTS)
    socket.sethostname(host.name[:64])  # the most that Linux accepts
    if host.state is None:
        _network(index, spec)
    unshare(NEWNS)
    _file_system(home, plugins)
    _ifupdown(home / "root/run/network/ifstate", host)
    change_root(home / "root")
    copy = None if host.state is None else restore(index, host, host.state)
    sshd = start("/usr/sbin/sshd", "-D", "-E", "/var/log/sshd.log")
    pod = _start_pod(host, plugins) if host.pod else None
    _wait_for(sshd)
    return Made(pod) if copy is None else Made(copy.pod, copy.differs)


def _host_key(root: Path) -> None:
    key = root / "etc/ssh/ssh_host_ed25519_key"
    key.parent.mkdir(parents=True, exist_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)])


def _network(index: int, spec: Spec) -> None:
    """Make the links. PID 1 connects the other ends, which are in the operator's network.

    To a router lead the routes that a DHCP server of the provider gives.
    """
    no_dad()
    forward()
    lines = ["link set lo up"]
    for nic in spec.hosts[index].nics:
        lines.append(f"link add {nic.name} type veth peer name {port(index, nic)} netns 1")
        lines += [address_line(address, nic.name) for address in nic.addresses]
        lines.append(f"link set {nic.name} up")
        if nic.gateway:
            lines.append(f"route add default via {nic.gateway} dev {nic.name}")
        elif nic.bridge == ROUTER and (router := spec.router):
            lines.append(f"route add {router.address} dev {nic.name} scope link")
            lines.append(f"route add {router.range} via {router.address} dev {nic.name}")
        # All network namespaces of a kernel share one limit of about 1000 neighbour entries, and 50
        # machines that ping each other exceed it. Entries with extern_learn do not count; they are
        # resolved as usual.
        lines += [
            f"neigh add {neighbour} dev {nic.name} nud none extern_learn"
            for neighbour in _neighbours(nic, spec)
        ]
    ip(*lines)


def _neighbours(nic: Nic, spec: Spec) -> set[str]:
    own = set(map(values.interface, nic.addresses))
    networks = {address.network for address in own}
    nics = (other for host in spec.hosts for other in host.nics)
    every = {values.interface(address) for other in nics for address in other.addresses}
    return {str(address.ip) for address in every - own if address.network in networks}


def _file_system(home: Path, plugins: Path) -> None:
    """Mount the file system: the machine's files over the common layer over the host's programs."""
    root = home / "root"
    _overlay(home, f"{HOME}/common:/", root)
    for number, separate in enumerate(_separate_mounts()):
        extra = home / f"extra{number}"
        for name in ("upper", "work"):
            (extra / name).mkdir(parents=True)
        _overlay(extra, separate, root / separate.lstrip("/"))
    mount("proc", root / "proc", "proc")
    mount("sysfs", root / "sys", "sysfs")
    maker = root / "sys/class/dmi/id"
    if maker.is_dir():  # hidden: the maker of this computer says nothing about the twin's network
        mount("tmpfs", maker, "tmpfs")
    mount(str(HOME / "dev"), root / "dev", flags=BIND_ALL)
    mount("tmpfs", root / "run", "tmpfs", NOSUID_NODEV, "mode=755")
    for name in ("lock", "sshd"):
        (root / "run" / name).mkdir()
    if not plugins.is_relative_to("/usr"):
        inside = root / plugins.relative_to("/")
        inside.mkdir(parents=True)
        mount(str(plugins), inside, flags=BIND)


def _ifupdown(state: Path, host: Host) -> None:
    """Record the links as brought up by ifupdown, so that routes are persisted with ifupdown."""
    state.parent.mkdir()
    names = ("lo", *(nic.name for nic in host.nics))
    state.write_text("".join(f"{name}={name}\n" for name in names))


def _overlay(home: Path, lower: str, target: Path) -> None:
    options = f"lowerdir={lower},upperdir={home}/upper,workdir={home}/work"
    try:
        mount("overlay", target, "overlay", options=options)
    except OSError as error:
        raise BrokenError(
            f"the kernel makes no overlay file system here ({error}); "
            "a twin needs a machine, or a container that may mount"
        ) from error


def _separate_mounts() -> list[str]:
    """The mounts below /usr of the host. An overlay of / does not include them."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {line.split()[4] for line in lines}
    if "/etc" in points:
        raise BrokenError("/etc is a mount of its own here: no twin can be laid over it")
    return sorted(p for p in points if f"{p}/".startswith("/usr/") and Path(p).is_dir())


def _wait_for(sshd: subprocess.Popen[bytes]) -> None:
    """Wait until sshd listens and writes its pid file. Raises BrokenError if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not Path("/run/sshd.pid").exists():
        if sshd.poll() is not None or time.monotonic() > deadline:
            log = Path("/var/log/sshd.log")
            words = log.read_text().strip().splitlines() if log.exists() else []
            raise BrokenError(f"sshd: {words[-1] if words else 'does not listen'}")
        time.sleep(0.002)


def _start_pod(host: Host, plugins: Path) -> int:
    """Start a process in a network namespace that the CNI plugins connect. Returns its pid."""
    pod = start_network()
    config = Path("/etc/cni/net.d/10-bridge.conf").read_text()
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": POD,
        "CNI_NETNS": f"/proc/{pod}/ns/net",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugins),
    }
    try:
        run([str(plugins / "bridge")], config, environment)
    except BrokenError as error:
        raise BrokenError(f"the pod of {host.name}: {error}") from error
    return pod
