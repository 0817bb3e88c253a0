"""Operators killed around calls of a provider's program, on a twin of a network that routes.

Two of three workers have routes already, made by hand, and their pods answer. An operator runs
apply-routes for the third, and is killed when hcloud is called, or has answered, for the time that
was drawn. The pods must answer all the while, and the next runs clear up.

`python -m tests.lab.network_kills --rounds N --seed S` counts the rounds.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.inventory.model import ProviderNetwork

from .conftest import Directories, Lab, MakeLab, labs, tutorial
from .kit import ok, on, settled

NETWORK = ProviderNetwork("hetzner", "kubernetes")
CALLS = 5  # of hcloud, in a run that adds one route: two to read, twice, and the route
WRAPPER = """#!/bin/sh
# Calls the hcloud that comes after this one in PATH, and kills the caller at a call of a number.
number=$(($(cat {count}) + 1))
echo $number >{count}
[ "$KILL" = "$number-before" ] && kill -9 $PPID
PATH=${{PATH#*:}} hcloud "$@"
status=$?
[ "$KILL" = "$number-after" ] && kill -9 $PPID
exit $status
"""


@dataclass
class Stage:
    """A twin where two of three workers have routes that were made by hand."""

    lab: Lab
    count: Path
    path: str
    tables: dict[str, list[str]] = field(default_factory=dict)
    routes: list[dict[str, str]] = field(default_factory=list)

    def fab(self, *words: str, kill: str = "") -> "subprocess.CompletedProcess[str]":
        """Run fab; `kill`: at which call of hcloud it is killed, such as `3-before`."""
        self.count.write_text("0")
        return self.lab.fab(*words, PATH=self.path, KILL=kill)

    def provided(self) -> list[dict[str, str]]:
        """The routes of the provider's table."""
        said = hcloud(self.lab, "network describe kubernetes -o json")
        routes: list[dict[str, str]] = json.loads(said)["routes"]
        return sorted(routes, key=str)


def hcloud(lab: Lab, words: str) -> str:
    """What the twin's hcloud prints, as the operator runs it."""
    return subprocess.run(
        [*lab.inside, "hcloud", *words.split()],
        env=lab.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def by_hand(lab: Lab, *workers: int) -> None:
    """What a person does for these workers: the provider's table, and each machine."""
    for worker in workers:
        route = f"--destination 10.200.{worker}.0/24 --gateway 10.240.0.{6 + worker}"
        hcloud(lab, f"network add-route kubernetes {route}")
        for other in workers:
            if other != worker:
                on(lab, f"worker-{worker}", f"ip route add 10.200.{other}.0/24 via 10.240.0.1")


def stage(make: MakeLab) -> Stage:
    """Such a twin."""
    lab = make(replace(tutorial(), network=NETWORK))
    programs = lab.home / "bin"
    programs.mkdir()
    count = programs / "count"
    (programs / "hcloud").write_text(WRAPPER.format(count=count))
    (programs / "hcloud").chmod(0o755)
    made = Stage(lab, count, f"{programs}{os.pathsep}{lab.environment['PATH']}")
    for worker in lab.cluster.workers:  # pods keep their addresses: no masquerading hides them
        on(lab, worker.name, "iptables -t nat -F")
    by_hand(lab, 0, 1)
    made.tables, made.routes = lab.tables(), made.provided()
    return made


def complaints(made: Stage, kill: str, again: str) -> list[str]:
    """What is not as promised in one round. `again`: the first run after the killed one."""
    lab = made.lab
    address = lab.twin.pod_addresses("worker-1")[0]
    found = []
    inside = lab.twin.inside("worker-0", pod=True)
    with subprocess.Popen(
        [*inside, "ping", "-n", "-i", "0.05", "-w", "300", address],
        stdout=subprocess.PIPE,
        text=True,
    ) as pings:
        killed = made.fab("apply-routes", "--confirm-timeout", "5", kill=kill)
        settled(lab)
        on(lab, "worker-0", "pkill -INT -x ping")  # nsenter passes no signal on
        said, _ = pings.communicate(timeout=30)
    if killed.returncode != -9:
        found.append(f"it ended with {killed.returncode}: {killed.stderr}")
    if " 0% packet loss" not in said:
        found.append(f"pods that answered were silent: {said.splitlines()[-2:]}")
    left = [route for route in made.provided() if route not in made.routes]
    named = ok(made.fab("status")), ok(made.fab("plan"))
    remembers = lab.cluster.path.with_suffix(".network.json").exists()
    if left and not (remembers and "has not ended" in named[0]):
        found.append(f"a route was left that status does not name: {left}")
    if again != "rollback":
        ok(made.fab(again))
        if len(made.provided()) != len(lab.cluster.workers):
            found.append("the next run did not finish the work")
    ok(made.fab("rollback"))
    if made.provided() != made.routes:
        found.append(f"the provider's table is not as before: {made.provided()}")
    if lab.tables() != made.tables:
        found.append("the machines are not as before")
    return found


def main() -> int:
    """Play the rounds, and print what they came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.network_kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)  # noqa: S311  # the same each time
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as root, labs(Directories(Path(root))) as make:
        made = stage(make)
        for _ in range(given.rounds):
            kill = f"{rng.randint(1, CALLS)}-{rng.choice(('before', 'after'))}"
            wrong = complaints(made, kill, rng.choice(("apply-routes", "rollback")))
            ends["not as promised" if wrong else "as promised"] += 1
            for one in wrong:
                print(f"killed at call {kill}: {one}", flush=True)
    print(f"{given.rounds} rounds: {dict(ends)}")
    return 1 if ends["not as promised"] else 0


if __name__ == "__main__":
    sys.exit(main())
