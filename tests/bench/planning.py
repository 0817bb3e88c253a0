"""What reading and planning cost: no network, but lines that a kernel has shown.

`python -m tests.bench.planning WORKERS`, in a process of its own for the memory.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from tasks.facts.complete import complete
from tasks.facts.parse import read
from tasks.inventory.model import Cluster, Machine
from tasks.planning.model import Allowed, Plan
from tasks.planning.reconcile import plan_routes

WORKERS = (100, 500, 1000, 2000)
PER_OCTET = 250
LINKS = """link add enp6s0 type veth peer name other
link set other up
link set enp6s0 up
addr add 172.16.255.254/16 dev enp6s0
"""


@dataclass(frozen=True)
class Cost:
    """What planning for so many workers took, with a route to each on every other one."""

    workers: int
    seconds: float  # of processor time, from the machines' answers to the plan
    megabytes: float  # of memory, at the peak of the whole process

    @property
    def routes(self) -> int:
        """How many routes there are."""
        return self.workers * (self.workers - 1)

    @property
    def microseconds(self) -> float:
        """What one route took."""
        return self.seconds / self.routes * 1e6


def pods(number: int) -> str:
    """The pod CIDR of a worker."""
    return f"10.{number // PER_OCTET}.{number % PER_OCTET}.0/24"


def node(number: int) -> str:
    """The internal IP of a worker."""
    return f"172.16.{(number + 10) // PER_OCTET}.{(number + 10) % PER_OCTET}"


def cluster(workers: int) -> Cluster:
    """A cluster of so many workers."""
    return Cluster(
        Path("hosts.toml"),
        (ip_network("10.0.0.0/8"),),
        tuple(
            Machine(
                f"worker-{n}",
                "worker",
                f"192.0.2.{n % PER_OCTET}",
                (ip_address(node(n)),),
                (ip_network(pods(n)),),
            )
            for n in range(workers)
        ),
    )


def kernel_lines(workers: int) -> list[str]:
    """A route to each worker, as a kernel shows them that was given them."""
    routes = "".join(
        f"route add {pods(n)} via {node(n)} dev enp6s0 proto 214\n" for n in range(workers)
    )
    shown = subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip -batch - && ip -4 -d -o route show table all"],
        input=LINKS + routes,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [line for line in shown.splitlines() if " proto 214 " in line]


def answers(workers: int, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each worker's answer: the routes to all others among what every machine has."""
    for n in range(workers):
        routes = [line for line in lines if not line.startswith(f"unicast {pods(n)} ")]
        yield (
            f"worker-{n}",
            "\n".join(
                [
                    "== route 4",
                    "unicast default via 172.16.0.1 dev enp6s0 table main proto static",
                    "unicast 172.16.0.0/16 dev enp6s0 table main proto kernel scope link",
                    *routes,
                    "== rule 4",
                    "0:\tfrom all lookup local",
                    "32766:\tfrom all lookup main",
                    "== address",
                    f"2: enp6s0    inet {node(n)}/16 scope global enp6s0",
                    "== kept 4",
                    *routes,
                    "== answering\n",
                ]
            ),
        )


def planned(found: Cluster, said: dict[str, str]) -> Plan:
    """The plan, from what the machines say."""
    facts = {name: read(answer) for name, answer in said.items()}
    whole, mistakes = complete(found, facts)
    assert not mistakes
    return plan_routes(whole, facts, Allowed())


def measure(workers: int) -> Cost:
    """Plan in this process, and say what it took."""
    said = dict(answers(workers, kernel_lines(workers)))
    found = cluster(workers)
    started = time.process_time()
    plan = planned(found, said)
    seconds = time.process_time() - started
    assert plan.empty
    assert sum(len(m.in_sync) for m in plan.machines) == workers * (workers - 1)
    return Cost(workers, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def plan_costs() -> list[Cost]:
    """What planning costs for clusters of several sizes: the least of three processes each.

    In turn, as everything is timed: a minute in which this machine is slow is not one size's.
    """
    said: dict[int, list[list[float]]] = {workers: [] for workers in WORKERS}
    for _ in range(3):
        for workers, found in said.items():
            argv = [sys.executable, "-m", "tests.bench.planning", str(workers)]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout))
    return [Cost(workers, *min(found)) for workers, found in said.items()]


if __name__ == "__main__":
    cost = measure(int(sys.argv[1]))
    print(json.dumps([cost.seconds, cost.megabytes]))
