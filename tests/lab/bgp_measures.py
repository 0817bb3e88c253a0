"""Moves between static routes and BGP, ends of BIRD and dead machines: what each one costs."""

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.bgp.bird_conf import HOLD_TIME, METRIC

from .bgp_kills import BGP, REFLECTORS, kill_bird, recover
from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on, routing
from .route_log import RouteLog, logged
from .traffic import Loss, both_ways, traffic

CHANGE = ("apply-routes", "--yes", "--no-ping")
PAIRS = 3  # that are pinged in both directions
LONGEST = 60  # seconds to wait for a route to come or go
ARP = Path("/proc/net/stat/arp_cache")


@dataclass(frozen=True)
class Measured:
    """One row: what was done, and what it cost."""

    what: str
    rounds: int
    loss: Loss
    log: RouteLog
    table_fulls: int = 0  # times that the kernel's neighbor table was full

    @property
    def good(self) -> bool:
        """Whether nothing was lost."""
        return not (self.loss.lost or self.loss.broken or self.log.without)


@dataclass(frozen=True)
class Died:
    """One row: how long routes stayed after a machine fell silent."""

    what: str
    bfd: bool
    seconds: float | None  # None: they stayed as long as was looked
    good: bool


def to_bgp(lab: Lab, bfd: bool) -> None:
    """Have a twin of WORKERS exchange its routes by BGP, with two reflectors, all sessions up."""
    routing(lab, "bgp", f"{BGP}\nbfd = {str(bfd).lower()}")
    ok(lab.fab(*CHANGE))
    recover(lab)


@contextmanager
def _watched(lab: Lab) -> Iterator[tuple[Loss, RouteLog]]:
    names = [worker.name for worker in lab.cluster.workers]
    prefixes = {str(c) for worker in lab.cluster.workers for c in worker.pod_cidrs}
    pairs = both_ways(names, PAIRS)
    with traffic(lab, pairs, pairs[0]) as loss, logged(lab, prefixes) as log:
        yield loss, log


def moves(lab: Lab, rounds: int) -> Measured:
    """From static routes to BGP and back, under traffic."""
    routing(lab, "static")
    ok(lab.fab(*CHANGE))
    fulls = _table_fulls()
    with _watched(lab) as (loss, log):
        for _ in range(rounds):
            for way in ("bgp", "static"):
                routing(lab, way)
                ok(lab.fab(*CHANGE))
    what = f"{len(lab.cluster.workers)} workers: static, BGP, static"
    return Measured(what, rounds, loss, log, _table_fulls() - fulls)


def _table_fulls() -> int:
    """How often the neighbor table of this kernel was full: one for all its namespaces."""
    lines = ARP.read_text().splitlines()
    return sum(int(line.split()[-1], 16) for line in lines[1:])


def restarts(lab: Lab, rounds: int, seed: int, bfd: bool) -> Measured:
    """BIRD ends and starts as its unit does it, on a random machine: a crash, or a new version."""
    to_bgp(lab, bfd)
    chance = random.Random(seed)  # noqa: S311
    with _watched(lab) as (loss, log):
        for _ in range(rounds):
            kill_bird(lab, chance.choice(lab.cluster.machines).name)
            time.sleep(1)  # RestartSec of the unit
            recover(lab)
    return Measured(f"BIRD killed and started{', with BFD' * bfd}", rounds, loss, log)


def deaths(lab: Lab, bfd: bool) -> list[Died]:
    """A worker falls silent, then both reflectors. The routes of live machines must not flap."""
    to_bgp(lab, bfd)
    looker, dead = "worker-2", "worker-3"
    live = {"10.200.0.0/24", "10.200.1.0/24"}
    with logged(lab, live) as log:
        _silence(lab, [dead])
        went = _seconds(lambda: "10.200.3.0/24" not in _by_bgp(lab, looker), LONGEST)
    silent = [Died("a worker", bfd, went, went is not None and looker not in log.without)]
    _silence(lab, [dead], over=True)
    recover(lab)
    _silence(lab, list(REFLECTORS))
    looks = 3 if bfd else 2 * HOLD_TIME
    went = _seconds(lambda: _by_bgp(lab, looker) != {*live, "10.200.3.0/24"}, looks)
    silent.append(Died("both reflectors", bfd, went, went is None))
    _silence(lab, list(REFLECTORS), over=True)
    recover(lab)
    return silent


def _silence(lab: Lab, machines: list[str], over: bool = False) -> None:
    """Take the cables of machines out of the switch; their links stay up. Or put them in again."""
    names = [machine.name for machine in lab.cluster.machines]
    for name in machines:
        to = ["master", "private"] if over else ["nomaster"]
        port = f"{names.index(name)}-enp6s0"
        subprocess.run([*lab.inside, "ip", "link", "set", port, *to], check=True)


def _by_bgp(lab: Lab, machine: str) -> set[str]:
    shown = on(lab, machine, f"ip -4 route show proto bird metric {METRIC}")
    return {line.split()[0] for line in shown.splitlines()}


def _seconds(condition: Callable[[], bool], longest: float) -> float | None:
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > longest:
            return None
        time.sleep(0.02)
    return time.monotonic() - started


@dataclass(frozen=True)
class Joined:
    """One row: a worker that comes to a cluster, or leaves it."""

    what: str
    workers: int
    touched: str  # the machines whose BIRD the run changed
    seconds: float  # until all kernels had all routes, or none of a worker that left
    good: bool


def joining(make: MakeLab, workers: int) -> list[Joined]:
    """The last worker comes to a cluster with reflectors, and leaves it again."""
    lab = make(tutorial(workers))
    whole = lab.dir / "hosts.toml"
    last = lab.cluster.workers[-1]
    text = whole.read_text()
    without = text.partition(f'[[workers]]\nname = "{last.name}"')[0]
    assert without != text
    whole.write_text(without)
    routing(lab, "bgp", BGP)
    ok(lab.fab(*CHANGE))
    rows = []
    for what in ("joins", "leaves"):
        whole.write_text(text if what == "joins" else without)
        routing(lab, "bgp", BGP)
        there = what == "joins"
        confs = {m.name: _conf(lab, m.name) for m in lab.cluster.machines}
        started = time.monotonic()
        if there:
            ok(lab.fab(*CHANGE))
        else:
            ok(lab.fab(*CHANGE, "--prune", "--force"))
        others = [w.name for w in lab.cluster.workers if w != last]
        cidr = str(last.pod_cidrs[0])
        as_meant = all((cidr in _by_bgp(lab, name)) is there for name in others)
        seconds = time.monotonic() - started
        touched = [n for n, conf in confs.items() if _conf(lab, n) != conf]
        rows.append(Joined(f"{last.name} {what}", workers, ", ".join(touched), seconds, as_meant))
    return rows


def _conf(lab: Lab, machine: str) -> str:
    return on(lab, machine, "cksum /run/pod-routes-bird/bird.conf 2>/dev/null; true")
