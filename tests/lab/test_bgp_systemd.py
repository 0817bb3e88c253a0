"""BIRD of this tool on machines that systemd has booted: reboots, crashes, and the way back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tasks.bgp.bird_conf import METRIC, RUN, UNIT
from tests.releases.machine import OWN, Booted, boot

from .conftest import Lab, labs, tutorial
from .kit import ok, on, routing
from .namespaces import wait_for
from .test_bgp import CHANGE

STAYS = (*CHANGE, "--persist", "auto")
LEFT = """find /etc /run /var/lib -name '*pod-routes*' -not -path '/*/pod-routes' -printf '%p '
pgrep -x bird || :"""
PID = f"systemctl show --property=MainPID --value {UNIT}"


@dataclass(frozen=True)
class Cluster:
    """Two workers; systemd boots the first one, and it can be rebooted."""

    lab: Lab
    machine: Booted

    def apply(self, way: str, *arguments: str, status: int = 0) -> str:
        """Have routes come in a way."""
        routing(self.lab, way)
        return ok(self.lab.fab(*arguments), status)

    def routes(self) -> list[str]:
        """What leads to the other worker's pods on the machine."""
        shown = self.machine.run("ip -N -o route show 10.200.1.0/24 table main")
        return [line.strip() for line in shown.splitlines()]

    def has(self, *routes: str) -> bool:
        """Whether these are the routes to the other worker's pods."""
        return self.routes() == list(routes)


STATIC = "10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214"
BY_BGP = f"10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 12 metric {METRIC}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with TemporaryDirectory(dir="/dev/shm") as directory, labs(tmp_path_factory) as make:
        lab = make(tutorial(2))
        yield Cluster(lab, boot(lab, "worker-0", OWN, "networkd", Path(directory)))


def test_what_is_confirmed_comes_back_at_boot_and_nothing_else(cluster: Cluster) -> None:
    lab, machine = cluster.lab, cluster.machine
    with machine.up():
        before = machine.run(LEFT)
        cluster.apply("static", *STAYS)
        cluster.apply("bgp", *STAYS, "--hold", "--confirm-timeout", "60")
        assert cluster.has(BY_BGP)
    with machine.up():
        wait_for(partial(cluster.has, STATIC), "no static route comes back")
        assert machine.run("pgrep -x bird || :") == ""
        ok(lab.fab("rollback", "--last"))
        said = cluster.apply("bgp", *STAYS)
        assert "worker-1: no systemd there: BIRD would not come back" in said
        assert cluster.has(BY_BGP)
        assert machine.run("cat /proc/$(pgrep -x bird)/cgroup | tail -n 1").endswith(f"/{UNIT}\n")
        machine.run("systemctl --no-block poweroff")
        there = partial(on, lab, "worker-1", "ip route show 10.200.0.0/24 proto bird")
        wait_for(lambda: not there(), "the route to a machine that is shut down stays")
    with machine.up():
        wait_for(partial(cluster.has, BY_BGP), "no route comes back by BGP")
        assert "nothing to do" in cluster.apply("bgp", *STAYS)
        cluster.apply("static", *STAYS)
        assert cluster.has(STATIC)
        ok(lab.fab("rollback", "--last"))
        assert cluster.has(BY_BGP)
    with machine.up():
        wait_for(partial(cluster.has, BY_BGP), "no route comes back by BGP")
        ok(lab.fab("rollback"))
        assert (machine.run(LEFT), cluster.routes()) == (before, [])


def test_a_bird_that_ends_comes_back_and_no_route_goes(cluster: Cluster) -> None:
    lab, machine = cluster.lab, cluster.machine
    with machine.up():
        before = machine.run(LEFT)
        cluster.apply("bgp", *CHANGE)
        for ends in (f"kill -9 $({PID})", f"systemctl restart {UNIT}"):
            pid = machine.run(PID)
            with deletions(machine.run) as here, deletions(partial(on, lab, "worker-1")) as there:
                machine.run(ends)
                wait_for(partial(is_up_again, cluster, pid), f"no session after {ends}")
            assert (here, there) == ([], [])
        assert cluster.has(BY_BGP)
    with machine.up():  # with persist = "none"
        assert (machine.run(LEFT), cluster.routes()) == (before, [])
        ok(lab.fab("rollback"))


def is_up_again(cluster: Cluster, pid: str) -> bool:
    """Whether another process has the session, and its recovery is over."""
    ask = f"birdc -s {RUN}/bird.ctl show status; birdc -s {RUN}/bird.ctl show protocols"
    said = cluster.machine.run(f"{PID}; {{ {ask}; }} 2>&1 || :")
    there = "Established" in said and "Graceful restart recovery in progress" not in said
    return there and not said.startswith(pid)


@contextmanager
def deletions(run: Callable[[str], str]) -> Iterator[list[str]]:
    """The routes to pods that a machine loses while the block runs; `run`: runs a command on it."""
    mark = "ip route add blackhole {0} && ip route del blackhole {0}; grep -c {0} /run/monitor || :"
    found: list[str] = []
    run("ip -o monitor route >/run/monitor 2>&1 & echo $! >/run/monitor.pid")
    wait_for(lambda: int(run(mark.format("192.0.2.1"))) > 0, "ip does not listen")
    yield found
    wait_for(lambda: int(run(mark.format("192.0.2.2"))) > 0, "ip does not listen any more")
    run("kill $(cat /run/monitor.pid)")
    found += [line for line in run("cat /run/monitor").splitlines() if "Deleted 10.200." in line]


def test_the_undo_leaves_no_unit_and_no_process(cluster: Cluster) -> None:
    """The operator is killed, and nobody confirms."""
    lab, machine = cluster.lab, cluster.machine
    with machine.up():
        before = machine.run(LEFT)
        cluster.apply("static", *CHANGE)
        routing(lab, "bgp")
        with lab.popen(*STAYS, "--hold", "--confirm-timeout", "5") as operator:
            wait_for(partial(cluster.has, BY_BGP), "nothing comes by BGP")
            operator.kill()
        wait_for(partial(cluster.has, STATIC), "the undo does not come")
        wait_for(lambda: machine.run(LEFT) == before, "something is left")
        ok(lab.fab("rollback"))
