"""The undo under a real systemd, as PID 1 of namespaces of its own: it outlives the login.

What logind does with KillUserProcesses=yes is done to a scope: when the session ends, everything
that is left in its cgroup is killed. /run is noexec, as on hardened machines, and the PATH of a
unit leads nowhere, as on NixOS.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tasks.common.values import Network
from tasks.facts.gather import question
from tasks.facts.model import Facts
from tasks.facts.parse import read
from tasks.persistence.backends import AT_BOOT, WANTED, files_to
from tasks.persistence.install import persist_script
from tasks.persistence.managers import Manager
from tasks.planning.model import Change, MachinePlan
from tasks.rollout.carry_out import carry_out
from tasks.rollout.steps import Steps, steps
from tasks.undo import recovery
from tasks.undo.records import last_lines
from tasks.undo.run import Run, new_run
from tests.builders import DEV, POD_NETWORKS, node, pods, route, wanted

from .namespaces import namespaces, wait_for

NETWORKS: tuple[Network, ...] = POD_NETWORKS[:1]
ADDRESS = f"{node(0)}/24"
PUTS = tuple(route(wanted(n)) for n in (1, 2))

TELL = r"""
import socket, struct, sys
action, device, index = sys.argv[1:]
text = (
    f"ACTION={action}\0DEVPATH=/devices/virtual/net/{device}\0SUBSYSTEM=net\0SEQNUM=1\0"
    f"INTERFACE={device}\0IFINDEX={index}\0SYSTEMD_ALIAS=/sys/subsystem/net/devices/{device}\0"
    "TAGS=:systemd:\0CURRENT_TAGS=:systemd:\0"
).encode()
head = b"libudev\0" + struct.pack(">I", 0xFEEDCAFE) + struct.pack("=III", 40, 40, len(text))
udev = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)
udev.sendto(head + b"\xff" * 16 + text, (0, 2))
"""

BOOT = r"""set -e
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
rm -rf etc/systemd/system/* var/lib/pod-routes
rm -rf usr/lib/systemd/system/multi-user.target.wants
printf '[Unit]\nDefaultDependencies=no\n' >etc/systemd/system/multi-user.target
mkdir etc/systemd/system.conf.d
printf '[Manager]\nDefaultEnvironment=PATH=/nowhere\n' >etc/systemd/system.conf.d/path.conf
mount -t proc none proc
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o noexec none run
mount -t tmpfs none tmp
mount --rbind /dev dev
mount --move . /
exec chroot . sh -es <<'IN_IT'
{disk}
exec env container=lab /lib/systemd/systemd --unit=multi-user.target --log-target=null \
  --show-status=no
IN_IT
"""


@dataclass(frozen=True)
class Machine:
    """A machine that systemd runs; `pid` is that systemd."""

    pid: int

    def run(self, *argv: str, **options: str) -> str:
        """Run a command in it as root; what it prints."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--all", *argv],
            capture_output=True,
            text=True,
            check=True,
            **options,  # type: ignore[call-overload]
        )
        return str(done.stdout)

    def login(self, session: str, script: str, said: str = "") -> str:
        """Run a script as a login session does, in a scope of its own; what is said to it."""
        text = f"{script}\nmain 3<<'END' </dev/null\n{said}\nEND\n"
        return self.run(
            "systemd-run", "--scope", "--quiet", f"--unit={session}", "sh", "-s", input=text
        )

    def routes(self) -> int:
        """How many routes of ours it has."""
        return len(self.run("ip", "-o", "route", "show", "proto", "214").splitlines())

    def units(self) -> str:
        """The watchdogs that systemd knows of."""
        return self.run(
            "systemctl", "list-units", "--all", "--plain", "--no-legend", "pod-routes-*"
        )


@contextmanager
def booted(disk: str = "") -> Iterator[Machine]:
    """A machine with a cgroup of this one as its root; a script makes its disk before it boots."""
    with namespaces("sh", "-s") as (stdin, pid):
        stdin.write(BOOT.replace("{disk}", disk))
        stdin.close()
        machine = Machine(pid)
        wait_for(lambda: running(machine), "systemd does not come up")
        yield machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine that is booted, with a link."""
    with booted() as machine:
        link(machine)
        machine.run("ip", "addr", "add", ADDRESS, "dev", DEV)
        yield machine


def link(machine: Machine, dev: str = DEV) -> None:
    """Give a machine a link that is up and has no address."""
    peer = f"to-{dev}"
    machine.run("ip", "link", "add", dev, "type", "veth", "peer", "name", peer)
    machine.run("ip", "link", "set", dev, "up")
    machine.run("ip", "link", "set", peer, "up")


def running(machine: Machine) -> bool:
    """Whether systemd has come up."""
    asked = subprocess.run(
        ["nsenter", f"--target={machine.pid}", "--all", "systemctl", "is-system-running"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() in ("running", "degraded")


def ask(machine: Machine) -> Facts:
    """What the machine says of itself."""
    return read(machine.run("sh", "-s", input=f"{question(NETWORKS, [], False)}\nmain\n"))


def change(machine: Machine, stay: bool = False, timeout: int = 5) -> tuple[Run, str]:
    """A run, and the script that gives the machine its two routes, for good with `stay`."""
    facts = ask(machine)
    files = files_to(PUTS if stay else (), facts.managers, facts.files)
    plan = MachinePlan("worker-0", tuple(map(Change, PUTS)), files=files)
    made: Steps = steps(plan, "run")
    run = new_run(NETWORKS, timeout)
    return run, carry_out(made, facts.snapshot, run, last_lines(PUTS, ()), "2 add")


def test_the_undo_outlives_the_session_that_armed_it(machine: Machine) -> None:
    _, script = change(machine)
    leftover = "setsid sleep 300 </dev/null >/dev/null 2>&1 &"
    said = machine.login("session-1", f"{leftover}\necho $! >/tmp/leftover\n{script}", "go")
    assert "== done" in said
    assert machine.routes() == 2
    assert "running" in machine.units()
    machine.run("systemctl", "kill", "--signal=KILL", "session-1.scope")
    leaves = ("sh", "-c", "kill -0 $(cat /tmp/leftover) 2>/dev/null && echo alive || true")
    wait_for(lambda: machine.run(*leaves) == "", "the session was not ended")
    assert machine.routes() == 2
    wait_for(lambda: machine.routes() == 0, "the undo did not come")
    wait_for(lambda: machine.units() == "", "a unit is left")
    assert "undone: not confirmed" in machine.run("cat", "/var/lib/pod-routes/history")


def test_a_unit_that_is_stopped_takes_its_change_back_at_once(machine: Machine) -> None:
    """As `systemctl isolate` stops it, or a shutdown: nobody would be left to do it later."""
    run, script = change(machine, timeout=600)
    assert "== done" in machine.login("session-0", script, "go")
    assert machine.routes() == 2
    machine.run("systemctl", "stop", f"pod-routes-{run.id}")
    assert machine.routes() == 0
    history = machine.run("tail", "-n", "1", "/var/lib/pod-routes/history")
    assert run.id in history
    assert "undone: not confirmed" in history


def test_a_confirmed_change_stays_and_leaves_no_unit(machine: Machine) -> None:
    run, script = change(machine)
    assert "== done" in machine.login("session-2", script, "go")
    deadline = int(machine.run("tail", "-n", "1", "/run/pod-routes/pending/deadline"))
    assert "== armed" in machine.login("session-3", recovery.push(run))
    assert int(machine.run("tail", "-n", "1", "/run/pod-routes/pending/deadline")) >= deadline
    assert "== kept" in machine.login("session-4", recovery.confirm(run))
    wait_for(lambda: machine.units() == "", "a unit is left")
    wait_for(lambda: uptime(machine) > deadline + 2, "time stands still")
    assert machine.routes() == 2
    machine.run("ip", "route", "flush", "proto", "214")


def test_a_unit_brings_routes_back_and_goes_with_them(machine: Machine) -> None:
    run, script = change(machine, stay=True)
    assert "== done" in machine.login("session-5", script, "go")
    assert "== kept" in machine.login("session-6", recovery.confirm(run))
    machine.run("ip", "route", "flush", "proto", "214")
    machine.run("systemctl", "daemon-reload")
    assert machine.run("systemctl", "is-enabled", "pod-routes").strip() == "enabled"
    wants = machine.run("systemctl", "show", "--property=Wants", "multi-user.target")
    assert "pod-routes.service" in wants
    machine.run("systemctl", "start", "pod-routes")
    wait_for(lambda: machine.routes() == 2, "the unit adds nothing")
    shown = machine.run("ip", "-details", "route", "show", "table", "main")
    assert shown.count("proto 214") == 2
    machine.run("systemctl", "start", "pod-routes")  # what is there already is no failure
    wait_for(lambda: state(machine) == ("inactive", "success"), "the unit fails")
    found = ask(machine)
    assert WANTED.format("multi-user.target") in found.files
    gone = persist_script(files_to((), found.managers, found.files))
    machine.run("sh", "-c", gone)
    assert ask(machine).files == {}
    machine.run("systemctl", "daemon-reload")
    assert "pod-routes.service" not in machine.run("systemctl", "list-unit-files")
    machine.run("ip", "route", "flush", "proto", "214")


def uptime(machine: Machine) -> int:
    """Seconds since boot."""
    return int(machine.run("cat", "/proc/uptime").split(".")[0])


def state(machine: Machine) -> tuple[str, str]:
    """Whether the unit runs, and how its last run ended."""
    active = machine.run("systemctl", "show", "--property=ActiveState", "--value", "pod-routes")
    ended = machine.run("systemctl", "show", "--property=Result", "--value", "pod-routes")
    return active.strip(), ended.strip()


def waits(machine: Machine) -> bool:
    """Whether the unit has failed and is to be tried again."""
    return state(machine) == ("activating", "exit-code")


def tries(machine: Machine) -> int:
    """How often the unit was tried again."""
    return int(machine.run("systemctl", "show", "--property=NRestarts", "--value", "pod-routes"))


def tell_systemd(machine: Machine, action: str, dev: str = DEV) -> None:
    """Tell a machine's systemd of a link, as udev does (systemd, sd-device/device-monitor.c)."""
    index = machine.run("cat", f"/sys/class/net/{dev}/ifindex").strip()
    net = ("nsenter", f"--target={machine.pid}", "--net")
    subprocess.run([*net, sys.executable, "-c", TELL, action, dev, index], check=True)


BRIDGE = "br-pods.100"
MANAGERS = dict.fromkeys((DEV, BRIDGE), Manager("systemd"))
ROUTES = (*PUTS, route(f"{pods(3)} via 10.241.0.9 dev {BRIDGE} proto 214"))
FILES = files_to(ROUTES, MANAGERS, {})
DISK = f"""{persist_script(FILES)}
mkdir /etc/systemd/system/pod-routes.service.d
printf '[Service]\\nRestartSec=100ms\\n' >/etc/systemd/system/pod-routes.service.d/lab.conf
"""


def test_a_link_or_an_address_that_comes_after_boot_brings_the_routes() -> None:
    with booted(DISK) as machine:
        assert machine.run("systemctl", "is-active", "multi-user.target") == "active\n"
        wait_for(lambda: waits(machine), "no sign that the links are not there")
        link(machine)
        before = tries(machine)
        wait_for(lambda: tries(machine) > before + 1, "it is not tried again")
        machine.run("ip", "address", "add", ADDRESS, "dev", DEV)
        wait_for(lambda: machine.routes() == 2, "an address that comes late brings no route")
        wait_for(lambda: waits(machine), "no sign that one link is not there")
        said = machine.run("sh", "-c", f"sh {AT_BOOT} || true")
        assert said.startswith(f"missing routes: 1, such as {ROUTES[2].words}: ")
        assert "Cannot find device" in said
        add_bridge(machine)
        wait_for(lambda: machine.routes() == 3, "a link that comes late has no routes")
        wait_for(lambda: state(machine) == ("inactive", "success"), "the unit does not end")

        for _ in range(2):
            tell_systemd(machine, "remove", BRIDGE)
            machine.run("ip", "link", "delete", BRIDGE)
            assert machine.routes() == 2
            add_bridge(machine)
            tell_systemd(machine, "add", BRIDGE)
            wait_for(lambda: machine.routes() == 3, "a link that is made again has no routes")
            wait_for(lambda: state(machine) == ("inactive", "success"), "the unit does not end")


def test_no_route_comes_back_while_a_change_waits_nor_after_a_rollback() -> None:
    """Though systemd still knows the unit, and tries it again and again."""
    with booted(DISK) as machine:
        wait_for(lambda: waits(machine), "it is not tried again")
        machine.run("mkdir", "-p", "/run/pod-routes/pending")
        link(machine)
        machine.run("ip", "address", "add", ADDRESS, "dev", DEV)
        before = tries(machine)
        wait_for(lambda: tries(machine) > before + 1, "it is not tried again")
        assert machine.routes() == 0
        found = ask(machine)
        assert set(found.files) == {file.path for file in FILES.write}
        machine.run("sh", "-c", persist_script(files_to((), found.managers, found.files)))
        ours = ("-name", "*pod-routes*", "-o", "-name", "*.device.wants")
        assert machine.run("find", "/etc", *ours) == "/etc/systemd/system/pod-routes.service.d\n"
        machine.run("rmdir", "/run/pod-routes/pending")
        wait_for(lambda: state(machine)[0] == "inactive", "the unit is still tried")
        assert machine.routes() == 0


def add_bridge(machine: Machine) -> None:
    """Give a machine another link, with an address."""
    link(machine, BRIDGE)
    machine.run("ip", "address", "add", "10.241.0.6/24", "dev", BRIDGE)
