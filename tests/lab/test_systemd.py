"""The undo under a real systemd, as PID 1 of namespaces of its own: it outlives the login.

What logind does with KillUserProcesses=yes is done to a scope: when the session ends, everything
that is left in its cgroup is killed. /run is noexec, as on hardened machines, and the PATH of a
unit leads nowhere, as on NixOS.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.common.values import Network
from tasks.facts.gather import question
from tasks.facts.model import Facts
from tasks.facts.parse import read
from tasks.persistence.backends import WANTED, files_to
from tasks.persistence.install import persist_script
from tasks.planning.model import Change, MachinePlan
from tasks.rollout.carry_out import carry_out
from tasks.rollout.steps import Steps, steps
from tasks.undo import recovery
from tasks.undo.records import last_lines
from tasks.undo.run import Run, new_run
from tests.builders import POD_NETWORKS, node, route, wanted

NETWORKS: tuple[Network, ...] = POD_NETWORKS[:1]

BOOT = r"""set -e
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
rm -rf etc/systemd/system/* var/lib/pod-routes
printf '[Unit]\nDefaultDependencies=no\n' >etc/systemd/system/lab.target
mkdir etc/systemd/system.conf.d
printf '[Manager]\nDefaultEnvironment=PATH=/nowhere\n' >etc/systemd/system.conf.d/path.conf
mount -t proc none proc
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o noexec none run
mount -t tmpfs none tmp
mount --rbind /dev dev
mount --move . /
exec chroot . env container=lab \
  /lib/systemd/systemd --unit=lab.target --log-target=null --show-status=no
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


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine that is booted, with a link and a cgroup of this one as its root."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    hierarchy = Path(next(words[1] for words in mounts if words[2] == "cgroup2"))
    group = hierarchy / f"pod-routes-lab-{os.getpid()}"
    group.mkdir()
    join = f"echo $$ >{group}/cgroup.procs; exec unshare -C -p -m -n -u -i -f --kill-child sh -s"
    with subprocess.Popen(
        ["sh", "-c", join], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as unshare:
        assert unshare.stdin is not None
        unshare.stdin.write(BOOT)
        unshare.stdin.close()
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        try:
            wait_for(lambda: bool(children.read_text()), "nothing is booted")
            booted = Machine(int(children.read_text().split()[0]))
            wait_for(lambda: running(booted), "systemd does not come up")
            booted.run("ip", "link", "add", "enp6s0", "type", "veth", "peer", "name", "other")
            booted.run("ip", "link", "set", "enp6s0", "up")
            booted.run("ip", "link", "set", "other", "up")
            booted.run("ip", "addr", "add", f"{node(0)}/24", "dev", "enp6s0")
            yield booted
        finally:
            unshare.kill()
            unshare.wait()
            wait_for(lambda: not populated(group), "a process of the machine is left")
            for place, _, _ in os.walk(group, topdown=False):
                Path(place).rmdir()


def running(machine: Machine) -> bool:
    """Whether systemd has come up."""
    asked = subprocess.run(
        ["nsenter", f"--target={machine.pid}", "--all", "systemctl", "is-system-running"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() in ("running", "degraded")


def populated(group: Path) -> bool:
    """Whether a process is left in a cgroup or below it."""
    return "populated 1" in (group / "cgroup.events").read_text()


def ask(machine: Machine) -> Facts:
    """What the machine says of itself."""
    return read(machine.run("sh", "-s", input=f"{question(NETWORKS, [], False)}\nmain\n"))


def change(machine: Machine, stay: bool = False) -> tuple[Run, str]:
    """A run, and the script that gives the machine its two routes, for good with `stay`."""
    facts = ask(machine)
    puts = tuple(route(wanted(n)) for n in (1, 2))
    files = files_to(puts if stay else (), facts.managers, facts.files)
    plan = MachinePlan("worker-0", tuple(map(Change, puts)), files=files)
    made: Steps = steps(plan, "run")
    run = new_run(NETWORKS, 5)
    return run, carry_out(made, facts.snapshot, run, last_lines(puts, ()), "2 add")


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
    shown = machine.run("ip", "-details", "route", "show", "table", "main")
    assert shown.count("proto 214") == machine.routes() == 2
    machine.run("systemctl", "start", "pod-routes")  # what is there already is no failure
    found = ask(machine)
    assert WANTED in found.files
    gone = persist_script(files_to((), found.managers, found.files))
    machine.run("sh", "-c", gone)
    assert ask(machine).files == {}
    machine.run("systemctl", "daemon-reload")
    assert "pod-routes.service" not in machine.run("systemctl", "list-unit-files")
    machine.run("ip", "route", "flush", "proto", "214")


def uptime(machine: Machine) -> int:
    """Seconds since boot."""
    return int(machine.run("cat", "/proc/uptime").split(".")[0])
