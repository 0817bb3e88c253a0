"""What is tried on machines of other Debian releases, with the real command line."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab.conftest import Lab, MakeLab, tutorial
from tests.lab.kit import ok
from tests.lab.namespaces import wait_for
from tests.lab.test_watch import watch
from tests.paths import PROJECT

from .machine import CACHE, PATIENCE, USER, Booted, boot
from .managers import FILES

MANAGERS = tuple(FILES)
CLEAN = Path(__file__).with_name("clean.sh")
APPLY = ("apply-routes", "--no-ping")


@dataclass(frozen=True)
class Mixed:
    """A cluster of machines of several releases; all are up, and log in as a user with sudo."""

    lab: Lab
    machines: Sequence[Booted]

    @property
    def others(self) -> int:
        """How many routes each machine is to have."""
        return len(self.machines) - 1

    def ours(self) -> list[int]:
        """How many routes of this tool each machine has."""
        return [len(machine.ours()) for machine in self.machines]

    def tables(self) -> list[str]:
        """Each machine's main table."""
        return [machine.run("ip -o route show table main") for machine in self.machines]


@contextmanager
def mixed(make: MakeLab, releases: Sequence[str], directory: Path) -> Iterator[Mixed]:
    """One machine of each release, each with another network manager."""
    cluster = tutorial(len(releases))
    lab = make(replace(cluster, ssh=replace(cluster.ssh, user=USER)), pods=())
    with ExitStack() as stack:
        machines = []
        for number, release in enumerate(releases):
            manager = MANAGERS[number % len(MANAGERS)]
            machine = boot(lab, f"worker-{number}", release, manager, directory / release)
            stack.enter_context(machine.up())
            machines.append(machine)
        yield Mixed(lab, machines)


def _discover(cluster: Mixed) -> None:
    shown = ok(cluster.lab.fab("discover"))
    assert all(f"10.200.{n}.0/24" in shown for n in range(len(cluster.machines))), shown


def _plan(cluster: Mixed) -> None:
    ok(cluster.lab.fab("plan"))
    ok(cluster.lab.fab("plan", "--check"), status=2)


def _apply(cluster: Mixed) -> None:
    pairs = len(cluster.machines) * cluster.others
    before = cluster.tables()
    shown = ok(cluster.lab.fab("apply-routes", "verify", "status", "plan", "--check", "history"))
    assert f"{pairs} added" in shown
    assert f"{pairs} of {pairs} pairs" in shown
    assert cluster.ours() == [cluster.others] * len(cluster.machines)
    ok(cluster.lab.fab("rollback"))
    assert cluster.tables() == before


def _watch(cluster: Mixed) -> None:
    ok(cluster.lab.fab(*APPLY))
    with watch(cluster.lab) as watching:
        for machine in cluster.machines:
            machine.run(f"ip route del {machine.ours()[-1]}")
            watching.until(machine.name, "put back")
    ok(cluster.lab.fab("rollback", "--no-ping"))


def _drain(cluster: Mixed) -> None:
    ok(cluster.lab.fab(*APPLY))
    whole = cluster.tables()
    last = cluster.machines[-1]
    ok(cluster.lab.fab("drain", last.name, "--force", "--yes", "--no-ping"))
    assert cluster.ours() == [*[cluster.others - 1] * cluster.others, 0]
    ok(cluster.lab.fab("rollback", "--last", "--no-ping"))
    assert cluster.tables() == whole
    ok(cluster.lab.fab("rollback", "--no-ping"))


def _confirm(cluster: Mixed) -> None:
    ok(cluster.lab.fab(*APPLY, "--hold"))
    ok(cluster.lab.fab("confirm"))
    assert cluster.ours() == [cluster.others] * len(cluster.machines)
    ok(cluster.lab.fab("rollback", "--no-ping"))


def _watchdog(cluster: Mixed) -> None:
    before = cluster.tables()
    ok(cluster.lab.fab(*APPLY, "--hold", "--confirm-timeout", "5"))
    wait_for(lambda: cluster.tables() == before, "a watchdog did not take routes back", PATIENCE)


def _foreign(cluster: Mixed) -> None:
    machines, last = cluster.machines, cluster.others
    for machine in machines[1:]:  # in the way
        machine.run("ip route add 10.200.0.0/24 via 10.240.0.99 proto static")
    for machine in machines[:-1]:  # in sync
        machine.run(f"ip route add 10.200.{last}.0/24 via 10.240.0.{6 + last} proto boot")
    before = cluster.tables()
    ok(cluster.lab.fab(*APPLY), status=1)
    ok(cluster.lab.fab(*APPLY, "--replace", "--adopt", "--yes"))
    assert cluster.ours() == [cluster.others] * len(machines)
    ok(cluster.lab.fab("rollback", "--no-ping"))
    assert cluster.tables() == before


# By what docs/support.md calls them. Each begins without routes of this tool and ends so.
VERBS: dict[str, Callable[[Mixed], None]] = {
    "`discover`": _discover,
    "`plan`, `plan --check`": _plan,
    "`apply-routes`, `verify`, `status`, `history`, `rollback`": _apply,
    "`watch`: a lost route comes back": _watch,
    "`drain`, `rollback --last`": _drain,
    "`apply-routes --hold`, `confirm`": _confirm,
    "`apply-routes --hold`, and nobody confirms: the watchdog": _watchdog,
    "`apply-routes --replace --adopt` over foreign routes, `rollback`": _foreign,
}


def reboot(make: MakeLab, release: str, manager: str, directory: Path) -> None:
    """Routes that are to stay are there after a reboot, and go with a rollback."""
    lab = make(tutorial(2), pods=())
    machine = boot(lab, "worker-0", release, manager, directory)
    with machine.up():
        ok(lab.fab(*APPLY, "--persist", "auto"))
        wanted = machine.ours()
        assert len(wanted) == 1
    with machine.up():
        wait_for(lambda: machine.ours() == wanted, "no routes come back", PATIENCE)
        ok(lab.fab("plan", "--check", "--persist", "auto"))
        ok(lab.fab("rollback", "--no-ping"))
    with machine.up():
        assert machine.ours() == []
        left = "find /etc /var/lib -name '*pod-routes*' -not -path /var/lib/pod-routes"
        assert machine.run(left) == ""


def demo(release: str, directory: Path) -> str:
    """What `make demo` comes to on a clean release: "yes", or the line that refuses its Python."""
    command = (str(CLEAN), str(directory), str(CACHE / release / "base"), "make", "demo")
    done = subprocess.run(
        command,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    if "pod routes: needs Python" in done.stderr:
        assert done.returncode != 0
        assert done.stdout == "", "something was done before Python was looked at"
        return "refused: Python"
    assert done.returncode == 0, said[-3000:]
    assert "6 of 6 pairs" in said, said[-3000:]
    return "yes"
