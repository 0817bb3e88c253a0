"""`fab watch` on the twin: what is lost comes back, what others did stays, a signal ends it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks.bgp.bird_conf import RUN

from . import networkd
from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on, routing

FLUSH = "ip route flush proto 214"


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    lab = make_lab(tutorial())
    ok(lab.fab("apply-routes", "--no-ping"))
    return lab


class Watching:
    """A `fab watch` that runs, and what it has said so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, *words: str) -> str:
        """Read on until a line holds all these words; that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if all(word in line for word in words):
                return line
        raise AssertionError(f"it never said {words}: {self.said}")


@contextmanager
def watch(lab: Lab, *flags: str, every: int = 1) -> Iterator[Watching]:
    """Run `fab watch` for as long as the block does, then end it as systemd does."""
    with lab.popen(*flags, "watch", "--every", str(every)) as process:
        try:
            yield Watching(process)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0, out + err
            assert "Traceback" not in err
        finally:
            process.kill()


def test_what_is_lost_comes_back_and_what_others_did_stays(lab: Lab) -> None:
    whole = lab.tables()
    with watch(lab, "-t", "1", "-T", "5") as watching:
        on(lab, "worker-0", FLUSH)
        assert "10.200.1.0/24 via 10.240.0.7" in watching.until("worker-0", "put back")
        watching.until("worker-0", "put back: 10.200.2.0/24")
        assert lab.tables() == whole

        on(lab, "worker-1", "ip route replace 10.200.0.0/24 via 10.240.0.99 dev enp6s0")
        hijacked = lab.tables()
        watching.until("worker-1", "left alone: changed by someone else", "10.240.0.99")
        on(lab, "worker-2", "ip link set eth0 down")
        watching.until("worker-2", "cannot be asked")
        on(lab, "worker-1", "ip route del 10.200.2.0/24")
        watching.until("worker-1", "put back: 10.200.2.0/24")
        assert lab.tables()["worker-1"] == hijacked["worker-1"]
        on(lab, "worker-2", f"{FLUSH}; ip link set eth0 up")
        watching.until("worker-2", "put back")
        watching.until("worker-2", "put back")
        networkd.wait_for(lambda: ours(lab, "worker-2") == 2, "worker-2 is not whole")
    assert "dropped" not in ok(lab.fab("rollback", "--last", "--no-ping"))
    assert [ours(lab, m.name) for m in lab.cluster.machines] == [0, 0, 0]


def test_a_link_that_flaps_and_a_route_that_goes_on_being_lost(lab: Lab) -> None:
    with watch(lab) as watching:
        on(lab, "worker-2", "ip addr flush dev enp6s0")
        watching.until("worker-2", "is not as in", "internal_ip 10.240.0.8")
        on(lab, "worker-0", "ip route del 10.200.2.0/24")
        watching.until("worker-0", "put back: 10.200.2.0/24")

        on(lab, "worker-1", "ip link set enp6s0 down")
        watching.until("worker-1", "left alone: missing")
        on(lab, "worker-1", "ip link set enp6s0 up")
        watching.until("worker-1", "put back")
        watching.until("worker-1", "put back")
        assert ours(lab, "worker-1") == 2
        busy = "[ -d /run/pod-routes/pending ]"
        hand = f"while sleep 0.02; do {busy} || ip route del 10.200.1.0/24 2>/dev/null; done"
        on(lab, "worker-0", f"setsid sh -c '{hand}' >/dev/null 2>&1 & echo $! >/run/hand")
        watching.until("worker-0", "left alone", "missing again", "10.200.1.0/24")
        assert sum("worker-0 put back" in line for line in watching.said) >= 2
        on(lab, "worker-0", "kill $(cat /run/hand)")
        assert ours(lab, "worker-0") == 1


def test_what_has_come_by_bgp_is_told_once_and_never_put_back(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial(2))
    routing(lab, "bgp")
    ok(lab.fab("apply-routes", "--no-ping", "--yes"))
    whole = lab.tables()
    birdc = f"birdc -s {RUN}/bird.ctl"
    start = f"bird -R -c {RUN}/bird.conf -s {RUN}/bird.ctl -P {RUN}/bird.pid -u bird -g bird"
    with watch(lab) as watching:
        on(lab, "worker-1", f"kill -9 $(cat {RUN}/bird.pid)")
        seen = [watching.until("left alone: BGP down:") for _ in range(2)]
        assert [line.split(" ", 1)[1] for line in sorted(seen, key=lambda line: line[20:])] == [
            "worker-0 left alone: BGP down: no session with worker-1\n",
            "worker-1 left alone: BGP down: BIRD does not run\n",
        ]
        on(lab, "worker-1", start)
        for _ in range(2):
            watching.until("all is well again")
        edit = f"sed -i s,{{}},{{}}, {RUN}/bird.conf && {birdc} configure"
        on(lab, "worker-1", edit.format("10.200.1.0/24", "10.200.9.0/24"))
        watching.until("worker-0 left alone: missing: 10.200.1.0/24", "has not come by BGP")
        on(lab, "worker-1", edit.format("10.200.9.0/24", "10.200.1.0/24"))
        watching.until("all is well again")
        assert not any("put back" in line for line in watching.said)
    assert lab.tables() == whole


def ours(lab: Lab, machine: str) -> int:
    """How many routes of ours a machine has."""
    return len(on(lab, machine, "ip -o route show proto 214").splitlines())
