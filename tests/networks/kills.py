"""Operators killed at random requests to a provider's API: what is left of the table, and after.

The operator is a process that plans and changes a table by the real hcloud, against the stand-in
for Hetzner's API. It is killed (SIGKILL) when the API gets a request of a number that was drawn, or
has answered it. The machines are left out: tests/lab has them.

`python -m tests.networks.kills --rounds N --seed S` counts the rounds in a table.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tasks.inventory.model import ProviderNetwork
from tasks.networks.memory import remembered
from tasks.networks.provider import provider_of
from tasks.networks.state import read_state
from tasks.planning.model import Allowed, TablePlan
from tasks.planning.provider_table import plan_table
from tasks.planning.table_rollback import plan_table_rollback
from tasks.rollout.provider_table import TableRun, around
from tasks.rollout.result import Rollout
from tests.builders import cluster
from tests.paths import PROJECT

from .hetzner_api import HetznerApi, Reply, serving

WORKERS = 3
RUN = "20261129T101500.000001"
VERBS = ("apply-routes", "apply-routes --replace --prune --force", "rollback")
PATIENCE = 60  # seconds for a process and what it started to end
NODES = {f"worker-{n}": f"10.240.0.{6 + n}" for n in range(WORKERS)}
PODS = {f"10.200.{n}.0/24": f"10.240.0.{6 + n}" for n in range(WORKERS)}
GONE = "10.240.0.99"  # the address of no server

Routes = dict[str, str]  # gateways by destination


def planned(where: ProviderNetwork, verb: str) -> TablePlan:
    """The plan of a command line for the table as it is."""
    words = verb.split()
    network = read_state(where, PATIENCE)
    if words[0] == "rollback":
        return plan_table_rollback(cluster(WORKERS), network)
    allowed = Allowed(
        replace="--replace" in words, prune="--prune" in words, force="--force" in words
    )
    return plan_table(cluster(WORKERS), network, allowed)


def operate(where: ProviderNetwork, verb: str) -> int:
    """What an operator's process does: plan, and change the table. Returns an exit status."""
    plan = planned(where, verb)
    if plan.conflicts or plan.refusals:
        return 1
    run = TableRun(where, partial(provider_of, where, PATIENCE), plan, RUN)
    ended = around(run, lambda: Rollout((), True), lambda: False, hold=False)
    for result in ended.results:
        if result.why:
            print(f"{where.memory.name}: {verb}: {result.why}", file=sys.stderr)
    return int(ended.status)


def requests(plan: TablePlan) -> int:
    """How many requests a run makes at least: two to read, twice; three for each call."""
    return 4 + 3 * sum(len(change.take) + bool(change.put) for change in plan.changes)


@dataclass
class Killer:
    """Kills a process when the API gets its request of this number, or has answered it."""

    number: int
    after: bool
    api: HetznerApi
    process: subprocess.Popen[bytes] | None = None
    seen: int = 0
    killed: bool = False
    silences: bool = False  # the run is to delete routes that lead to pods
    answered: list[frozenset[tuple[str, str]]] = field(default_factory=list)

    def __call__(self, method: str, path: str) -> Reply | None:
        self.answered.append(answering(self.api.routes))
        self.seen += 1
        if self.process and not self.killed and self.seen == self.number + self.after:
            self.killed = True
            self.process.kill()
            self.process.wait()
        return None


def answering(routes: Routes) -> frozenset[tuple[str, str]]:
    """The pairs of pod CIDRs between which packets pass, as the network's rules have it."""
    led = [pods for pods, gateway in PODS.items() if routes.get(pods) == gateway]
    return frozenset((one, other) for one in led for other in led if one != other)


@dataclass(frozen=True)
class Result:
    """How one round ended; no complaints if all is as promised."""

    verb: str
    end: str
    complaints: tuple[str, ...]


def drawn(rng: random.Random, verb: str) -> Routes:
    """Foreign routes: some right, some to another server or to none, some of no pods."""
    routes = {"0.0.0.0/0": "10.240.0.6"} if rng.random() < 0.3 else {}
    absent = rng.choice([*PODS])
    for pods, gateway in PODS.items():
        if pods == absent:
            continue
        if rng.random() < 0.3:
            routes[pods] = gateway
        elif "--replace" in verb and rng.random() < 0.4:
            routes[pods] = rng.choice([*NODES.values(), GONE])
    for other in ("10.200.7.0/24", "10.9.0.0/24"):
        if rng.random() < 0.3:
            routes[other] = rng.choice([*NODES.values(), GONE])
    return routes


def played(seed: int, verb: str, root: Path) -> Result:
    """One round: a table, an operator who is killed, and the next run."""
    rng = random.Random(seed)  # noqa: S311  # the same each time
    api = HetznerApi(NODES, "10.240.0.0/16", "10.240.0.0/24")
    api.routes = drawn(rng, verb)
    foreign = dict(api.routes)
    where = ProviderNetwork("hetzner", "kubernetes", root / f"{seed}.network.json")
    with serving(api) as environment:
        os.environ.update(environment)  # a round has a process to itself
        found = _Round(api, where)
        if verb == "rollback":
            found.complain(operate(where, "apply-routes") == 0, "could not be prepared")
        begun = dict(api.routes)
        number = rng.randint(1, requests(planned(where, verb)))
        killer = Killer(number, rng.random() < 0.5, api, silences=verb == "rollback")
        api.fault = killer
        killer.process = found.run(verb)
        killer.process.wait(PATIENCE)
        found.quiet()
        killer.answered.append(answering(api.routes))
        left = dict(api.routes)
        api.fault = lambda _method, _path: None
        found.judge(foreign, begun, killer)
        again = verb if verb != "rollback" and rng.random() < 0.3 else "rollback"
        found.clear_up(again, foreign)
    changed = "nothing changed yet" if left == begun else "some changed"
    end = changed if killer.killed else "it ended before"
    return Result(verb, end, tuple(found.complaints))


@dataclass
class _Round:
    """One round in progress."""

    api: HetznerApi
    where: ProviderNetwork
    complaints: list[str] = field(default_factory=list)

    def complain(self, right: bool, words: str) -> None:
        if not right:
            self.complaints.append(words)

    def run(self, verb: str) -> subprocess.Popen[bytes]:
        """An operator's process."""
        argv = [sys.executable, "-m", "tests.networks.kills", "--operate", verb]
        return subprocess.Popen(
            [*argv, "--memory", str(self.where.memory)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def quiet(self) -> None:
        """Wait until no other process asks this API: an hcloud outlives its operator."""
        mark = f"HCLOUD_ENDPOINT={os.environ['HCLOUD_ENDPOINT']}\0".encode()
        deadline = time.monotonic() + PATIENCE
        while any(mark in environ for environ in _environs(beside=os.getpid())):
            if time.monotonic() > deadline:
                self.complain(False, "a process did not end")
                return
            time.sleep(0.05)

    def judge(self, foreign: Routes, begun: Routes, killer: Killer) -> None:
        """What the killed operator has left."""
        before = killer.answered[0]
        for now in killer.answered:
            self.complain(before <= now or killer.silences, "pods that answered were silent")
        kept = {d: g for d, g in foreign.items() if self.api.routes.get(d) == g}
        displaced = {d for d, _ in self._remembered("displaced")}
        for destination, gateway in foreign.items():
            works = gateway in NODES.values()
            lost = destination not in kept and works and destination not in displaced
            self.complain(not lost, f"a foreign route to {destination} was taken away")
        added = {d: g for d, g in self.api.routes.items() if foreign.get(d) != g}
        known = {*self._remembered("ours"), *self._remembered("unfinished")}
        self.complain(set(added.items()) <= known, "a route was added that nothing names")

    def _remembered(self, which: str) -> list[tuple[str, str]]:
        memory = remembered(self.where, "7")
        return [(str(one), str(other)) for one, other in getattr(memory, which)]

    def clear_up(self, again: str, foreign: Routes) -> None:
        """The next run, and at last a rollback: the foreign routes that worked, and no others."""
        status = operate(self.where, again)
        self.complain(status == 0, f"the next {again} ended with {status}")
        if again != "rollback":
            self.complain(
                all(self.api.routes.get(pods) == via for pods, via in PODS.items()),
                "the next run did not finish the work",
            )
            self.complain(operate(self.where, "rollback") == 0, "rollback failed")
        works = {d: g for d, g in foreign.items() if g in NODES.values()}
        self.complain(works.items() <= self.api.routes.items(), "a foreign route is missing")
        self.complain(self.api.routes.items() <= foreign.items(), "a route is left")
        self.complain(not self.where.memory.exists(), "something is remembered all the same")


def _environs(beside: int) -> Iterator[bytes]:
    """The environments of all processes but one."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if path.parent.name == str(beside):
                continue
            yield path.read_bytes()
        except OSError:  # it has ended
            continue


def rounds(number: int, seed: int, at_once: int) -> list[Result]:
    """So many rounds, `at_once` at a time."""
    with tempfile.TemporaryDirectory() as directory, ProcessPoolExecutor(at_once) as pool:
        asked = [
            pool.submit(played, seed * 100_000 + n, VERBS[n % len(VERBS)], Path(directory))
            for n in range(number)
        ]
        return [one.result() for one in asked]


def page(results: Iterable[Result]) -> str:
    """The table of the rounds."""
    found = list(results)
    lines = [
        "| killed during | rounds | nothing changed yet | some changed | ended before"
        " | not as promised |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for verb in VERBS:
        mine = [result for result in found if result.verb == verb]
        ends = Counter(result.end for result in mine)
        wrong = sum(bool(result.complaints) for result in mine)
        counts = (ends[e] for e in ("nothing changed yet", "some changed", "it ended before"))
        lines.append(f"| `{verb}` | {len(mine)} | {' | '.join(map(str, counts))} | {wrong} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the rounds, and print what they came to; or be an operator."""
    parser = argparse.ArgumentParser(prog="python -m tests.networks.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--operate", help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.operate:
        return operate(ProviderNetwork("hetzner", "kubernetes", given.memory), given.operate)
    results = rounds(given.rounds, given.seed, given.at_once)
    print(page(results))
    for result in results:
        for complaint in result.complaints:
            print(f"{result.verb}: {complaint}")
    return 1 if any(result.complaints for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
