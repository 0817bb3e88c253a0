"""PID 1 of a twin: makes the machines, reports when their sshd listen, and holds them.

`start_init` starts it in new process, mount, network, UTS and IPC namespaces, and `ask` writes the
spec to its stdin. Everything it makes is in these namespaces or on a tmpfs inside them. So the
kernel removes all of it when this process ends, even if it is killed.

It runs as `python -m tasks.twin.init INVENTORY`. The argument only shows in lists of processes.
"""

import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from tasks.common import values
from tasks.snapshots.gap import Gap

from . import root_files, router
from .design import Spec
from .kernel import BrokenError, address_line, forward, ip, no_dad, run
from .machine import HOME, KEEP, PLUGINS, Made, machine_home, make
from .namespaces import BIND, NOSUID_NODEV, mount
from .stand_in import ROUTER
from .wiring import port

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def main() -> None:
    """Build the twin that stdin describes. Stay until stdin ends, or for good if KEEP follows."""
    pid = (
        Path("/proc/self").readlink().name
    )  # the pid in the caller's /proc, which is still mounted
    error = None
    try:
        build(Spec.from_text(_read_line()))
    except BrokenError as broken:
        error = str(broken)
    except (OSError, subprocess.SubprocessError) as broken:
        error = f"the twin cannot be built here: {broken}"
    print(json.dumps({"pid": int(pid), "error": error}), flush=True)
    if error:
        return
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # This process starts no other from here on, so the kernel may reap its children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.read(0, len(KEEP)) == KEEP:
        while True:
            signal.pause()


def build(spec: Spec) -> None:
    """Make all machines and their networks. Returns when every sshd listens."""
    os.chdir("/")
    os.umask(0o022)
    mount("tmpfs", Path("/run"), "tmpfs", options="mode=755")
    mount("proc", Path("/proc"), "proc")
    HOME.mkdir()
    plugins = next((path for path in PLUGINS if (path / "bridge").exists()), PLUGINS[0])
    _operator_network(spec)
    router.make(spec)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "twin", "-f", str(HOME / "key")])
    _common_layer(spec)
    _devices()
    made = _all_machines(spec, plugins)
    new = [(i, host) for i, host in enumerate(spec.hosts) if host.state is None]
    ports = [(port(i, nic), nic) for i, host in new for nic in host.nics]
    ip(*(f"link set {name} master {nic.bridge} up" for name, nic in ports if nic.bridge != ROUTER))
    router.connect(spec, [(name, nic) for name, nic in ports if nic.bridge == ROUTER])
    ip(
        *(
            f"route replace {values.host(values.address(way.to))} dev {way.bridge} src {way.source}"
            for way in spec.ways
            if way.bridge
        )
    )
    (HOME / "known_hosts").write_text("".join(_known_hosts(spec)))
    (HOME / "processes").write_text(json.dumps([(pid, machine.pod) for pid, machine in made]))
    (HOME / "differs").write_text(json.dumps([asdict(machine)["differs"] for _, machine in made]))
    hosts = tuple(replace(host, state=None) for host in spec.hosts)
    (HOME / "spec").write_text(replace(spec, hosts=hosts).to_text())


def _read_line() -> str:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            sys.exit(1)
        line += part
    return line.decode()


def _operator_network(spec: Spec) -> None:
    """Set up this namespace: the bridges and the gateways. No link leads out of it."""
    no_dad()
    forward()
    bridges = sorted({nic.bridge for host in spec.hosts for nic in host.nics} - {ROUTER, ""})
    ip(
        "link set lo up",
        *(f"link add name {bridge} type bridge" for bridge in bridges),
        *(f"link set dev {bridge} up" for bridge in bridges),
        *(address_line(address, bridge) for bridge, address in spec.gateways),
    )


def _common_layer(spec: Spec) -> None:
    """Make the layer between the host's file system and each machine's: it adds and hides files."""
    layer = HOME / "common"
    (layer / "etc").mkdir(parents=True)
    files = root_files.common(spec, (HOME / "key.pub").read_text().strip(), _sshd_settings())
    files |= root_files.accounts(
        spec.user, Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    )
    named = [Path(name) for name in (*files, *root_files.DIRECTORIES)]
    parents = {str(parent) for path in named for parent in path.parents} - {".", "etc"}
    for name in sorted(parents | set(root_files.DIRECTORIES)):
        path = layer / name
        path.mkdir()
        path.chmod(root_files.DIRECTORIES.get(name, 0o755))
        os.setxattr(path, "trusted.overlay.opaque", b"y")  # hides the host's files
    for name, target in root_files.LINKS.items():
        (layer / name).symlink_to(target)
    root_files.write(files, layer)
    if spec.user != "root":
        home = layer / "home" / spec.user
        home.mkdir()
        os.chown(home, root_files.USER_ID, root_files.USER_ID)
    for top, kept in ((Path("/"), root_files.KEPT), (Path("/etc"), root_files.KEPT_IN_ETC)):
        added = {path.name for path in (layer / top.relative_to("/")).iterdir()}
        for entry in top.iterdir():
            if entry.name not in kept | added:
                whiteout = layer / entry.relative_to("/")
                os.mknod(whiteout, stat.S_IFCHR)


def _sshd_settings() -> tuple[str, ...]:
    """Settings that only newer versions of sshd know.

    Penalties are off, because tests fail to log in on purpose.
    """
    version = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.match(r"OpenSSH_(\d+)\.(\d+)", version)
    new = found is not None and (int(found[1]), int(found[2])) >= (9, 8)
    return ("PerSourcePenalties no",) if new else ()


def _devices() -> None:
    """Make a /dev for the machines: the devices that every program expects, and no disk."""
    dev = HOME / "dev"
    dev.mkdir()
    for name in DEVICES:
        (dev / name).touch()
        mount(f"/dev/{name}", dev / name, flags=BIND)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", options="newinstance,ptmxmode=0666,mode=620,gid=5")
    mount("tmpfs", dev / "shm", "tmpfs", NOSUID_NODEV, "mode=1777")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0")):
        (dev / name).symlink_to(target)
    for name, target in (("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target)


def _all_machines(spec: Spec, plugins: Path) -> list[tuple[int, Made]]:
    """Make the machines in parallel. Returns the pid of the first process of each."""
    waiting = list(range(len(spec.hosts)))
    making: dict[int, tuple[int, int]] = {}
    processes: dict[int, tuple[int, Made]] = {}
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while waiting or making:
        while waiting and len(making) < 2 * (os.cpu_count() or 1):
            index = waiting.pop(0)
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                _one_machine(index, spec, plugins, writing)
            os.close(writing)
            making[reading] = index, pid
            poll.register(reading, select.POLLIN)
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                sys.exit(1)  # the caller has ended
            poll.unregister(descriptor)
            index, pid = making.pop(descriptor)
            with os.fdopen(descriptor) as pipe:
                answer = json.loads(pipe.read() or '{"failed": "its builder died"}')
            if "failed" in answer:
                raise BrokenError(f"{spec.hosts[index].name}: {answer['failed']}")
            processes[index] = (
                pid,
                Made(answer["pod"], tuple(Gap(**gap) for gap in answer["differs"])),
            )
    return [processes[index] for index in range(len(spec.hosts))]


def _one_machine(index: int, spec: Spec, plugins: Path, answer: int) -> None:
    """Make one machine in this process, which then holds its namespaces."""
    try:
        made = make(index, spec, plugins)
        os.write(answer, json.dumps(asdict(made)).encode())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # lets the kernel reap its children
        os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606
    except Exception as error:  # the caller reports it, in one line
        os.write(answer, json.dumps({"failed": str(error) or type(error).__name__}).encode())
    os._exit(1)


def _known_hosts(spec: Spec) -> Iterator[str]:
    for index, host in enumerate(spec.hosts):
        key = machine_home(index) / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        addresses = dict.fromkeys((host.address, *host.internal_ips))
        names = addresses if spec.port == 22 else [f"[{a}]:{spec.port}" for a in addresses]
        yield f"{','.join(names)} {' '.join(key.read_text().split()[:2])}\n"


if __name__ == "__main__":
    main()
