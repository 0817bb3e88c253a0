"""Kills while a cluster moves between static routes and BGP: every machine ends whole."""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tasks.bgp.bird_conf import RUN

from .conftest import Lab, MakeLab, tutorial
from .faults import Fault, Round
from .kit import ok, on, routing
from .soak import HISTORY, IDLE, PATIENCE, Judge, Result, Tables, ended

WORKERS = 4
REFLECTORS = ("worker-0", "worker-1")
BGP = f'reflectors = ["{REFLECTORS[0]}", "{REFLECTORS[1]}"]'
WAYS = {"bgp": "to BGP", "static": "to static"}
MOVE = ("--yes", "--no-ping")

KILL = f"[ ! -e {RUN}/bird.pid ] || kill -9 $(cat {RUN}/bird.pid) 2>/dev/null; true"
# As the unit does, where there is systemd: nothing if this tool's BIRD is not there, or runs.
START = f"""cd {RUN} 2>/dev/null && [ -e bird.conf ] || exit 0
birdc -s bird.ctl show status >/dev/null 2>&1 ||
  bird -R -u bird -g bird -c bird.conf -s bird.ctl -P bird.pid"""
# Recovered, with all sessions that it has.
RECOVERED = f"""cd {RUN} 2>/dev/null && [ -e bird.conf ] || exit 0
until ! birdc -r -s bird.ctl show status | grep -q 'restart recovery' &&
  ! birdc -r -s bird.ctl show protocols | grep ' BGP ' | grep -qv Established
do sleep 0.1; done"""
BIRD = f"""cd {RUN} 2>/dev/null || exit 0
sha256sum *.conf
birdc -r -s bird.ctl show status >/dev/null 2>&1 && echo runs; true"""


def kill_bird(lab: Lab, machine: str) -> None:
    """Kill this tool's BIRD there, if it runs."""
    on(lab, machine, KILL)


def recover(lab: Lab) -> None:
    """Have BIRD run again wherever it should, as its unit would, and wait until all is as usual."""
    for words in (START, RECOVERED):
        for machine in lab.cluster.machines:
            on(lab, machine.name, f"timeout {PATIENCE} sh -c {_quoted(words)} || :")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def beside(now: list[str], static: list[str], bgp: list[str]) -> bool:
    """Whether a machine has its static routes, and BIRD besides: nothing of it is in the way."""
    return set(static) <= set(now) <= {*static, *bgp}


def state(lab: Lab) -> Tables:
    """What each machine has: its kernel's routes, BIRD's files, and whether BIRD runs."""
    return {
        name: [*lines, *on(lab, name, BIRD).splitlines()] for name, lines in lab.tables().items()
    }


def _operator(now: Round) -> None:
    now.pause()
    if now.runs[-1].poll() is None:
        now.runs[-1].kill()


def _bird(now: Round) -> None:
    now.pause()
    kill_bird(now.lab, now.victim)


def _reflector(now: Round) -> None:
    now.pause()
    kill_bird(now.lab, now.chance.choice(REFLECTORS))


def _both(now: Round) -> None:
    _reflector(now)
    if now.runs[-1].poll() is None:
        now.runs[-1].kill()


def _fault(name: str, kill: Callable[[Round], None]) -> Fault:
    def strike(now: Round) -> None:
        now.start()
        kill(now)

    return Fault(name, strike, lambda now: recover(now.lab), frozenset({0, 1, 3, 4, -9}))


KILLS = (
    _fault("a reflector and the operator", _both),
    _fault("the operator", _operator),
    _fault("a reflector", _reflector),
    _fault("a BIRD", _bird),
)


@dataclass
class Kills:
    """A twin on which a run is killed again and again."""

    make: MakeLab

    def __post_init__(self) -> None:
        self._build()

    def _build(self) -> None:
        self._lab = self.make(tutorial(WORKERS))
        ok(self._lab.fab("apply-routes"))
        self._states: dict[str, Tables] = {}
        self._length: dict[str, float] = {}
        for way in ("bgp", "static", "bgp"):
            self._move(way)
            recover(self._lab)
            self._states[way] = state(self._lab)

    def _move(self, way: str) -> None:
        routing(self._lab, way, BGP)
        started = time.monotonic()
        ok(self._lab.fab("apply-routes", *MOVE))
        self._length[way] = time.monotonic() - started

    def round(self, kill: Fault, way: str, chance: random.Random) -> Result:
        """One kill upon one move, judged."""
        other = next(w for w in WAYS if w != way)
        self._lead_to(other)
        lab = self._lab
        machines = [machine.name for machine in lab.cluster.machines]
        victim = chance.choice(machines)
        now = Round(lab, "apply-routes", chance, self._length[way], victim, flags=MOVE)
        routing(lab, way, BGP)
        kill.strike(now)
        said = [(*ended(run), run.returncode) for run in now.runs]
        for name in machines:
            if lab.twin.run(name, ["timeout", str(PATIENCE), "sh", "-c", IDLE]).returncode:
                return Result(kill.name, way, "some", (f"{name} does not come to rest",))
        kill.mend(now)
        before, found = self._states[other], state(lab)
        # A run that was cut off while it confirmed leaves BIRD where others may need it.
        cut = kill.name.endswith("operator")
        static, bgp = self._states["static"], self._states["bgp"]
        halves = {n for n, t in found.items() if cut and beside(t, static[n], bgp[n])}
        found |= {n: before[n] for n in halves - self._as(way, found)}
        return replace(Judge(now, kill, before, self._states[way], found).result(said), verb=way)

    def _as(self, way: str, found: Tables) -> set[str]:
        return {name for name, lines in found.items() if lines == self._states[way][name]}

    def _lead_to(self, way: str) -> None:
        """The state before a round, in a new twin where need be; the histories start anew."""
        if state(self._lab) != self._states[way]:
            self._move(way)
            recover(self._lab)
        if state(self._lab) != self._states[way]:
            self._lab.twin.stop()
            self._build()
            self._move(way)
            recover(self._lab)
        for machine in self._lab.cluster.machines:
            on(self._lab, machine.name, f"rm -f {HISTORY}")


def kills(make: MakeLab, rounds: int, seed: int) -> list[Result]:
    """So many rounds, the kinds of kills and the ways in turn; the same chances for a seed."""
    bench = Kills(make)
    results = []
    for number in range(rounds):
        kill, way = KILLS[number // 2 % len(KILLS)], list(WAYS)[number % 2]
        result = bench.round(kill, way, random.Random(f"{seed}-{number}"))  # noqa: S311
        for complaint in result.complaints:
            print(f"round {number}, {kill.name}, {WAYS[way]}: {complaint}", file=sys.stderr)
        results.append(result)
    return results
