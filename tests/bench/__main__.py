"""What this tool costs, next to what others cost: timed in turn on twins of several sizes.

`python -m tests.bench --write FILE`; with BENCH_LARGE=1 at 200 workers too.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.lab.conftest import Directories, Lab, MakeLab, hosts_toml, labs, tutorial
from tests.lab.kit import QUIET, on
from tests.paths import FAB

from .growth import growths
from .peers import BIN, Peer, peers
from .planning import plan_costs
from .report import AGAIN, APPLY, BY_HAND, PARALLEL, PINGED, VERIFY, page
from .timing import Command, Table, take

ROUNDS = {3: 7, 10: 5, 50: 7, 200: 1}  # by the number of workers
KEYS_AT = 50  # workers where other keys are tried too
PASSPHRASE = "correct horse"  # noqa: S105  # of a key made here for a minute
NO_PING = "--no-ping"


def environment(lab: Lab) -> dict[str, str]:
    """What the commands see of this machine."""
    return {
        "HOME": str(lab.home),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(lab.home / ".ansible"),
    }


def clear(lab: Lab) -> None:
    """Take away all that anybody has pushed."""
    for machine in lab.cluster.machines:
        on(lab, machine.name, "ip route flush proto boot root 10.200.0.0/16")


def rest(lab: Lab) -> None:
    """Wait until nothing goes on that was begun before, for which the next would pay."""
    until = ["timeout", "60", "sh", "-c", f"until {QUIET}; do sleep 0.1; done"]
    lab.twin.run(lab.cluster.machines[0].name, until, check=True)


def bench(make: MakeLab, workers: int, rounds: int) -> Table:
    """Time everything in turn, so many rounds, on a twin of so many workers."""
    lab = make(tutorial(workers))
    env = environment(lab)
    table = Table(lambda: rest(lab))

    def ours(*words: str, typed: str = "") -> Command:
        return Command([*lab.inside, *FAB, *words], lab.dir, env, typed)

    def back() -> None:
        take(ours("rollback", NO_PING))

    def push(peer: Peer) -> None:
        table.time(peer.name, Command([*lab.inside, *peer.argv], lab.dir, env))
        clear(lab)

    def apply() -> None:
        table.time(APPLY, ours("apply-routes", NO_PING))
        table.time(AGAIN, ours("apply-routes", NO_PING))
        table.time("rollback", ours("rollback", NO_PING))

    def apply_otherwise(name: str, *flags: str, typed: str = "") -> None:
        table.time(name, ours("apply-routes", NO_PING, *flags, typed=typed))
        back()

    def ping() -> None:
        table.time(PINGED, ours("apply-routes"))
        table.time(VERIFY, ours("verify"))
        table.time(BY_HAND, Command([_by_hand(lab)], lab.dir, env))
        back()

    keys = _other_keys(lab) if workers == KEYS_AT else {}
    jobs: list[Callable[[], None]] = [
        *(partial(push, peer) for peer in peers(lab)),
        lambda: table.time("plan", ours("plan")),
        apply,
        partial(apply_otherwise, PARALLEL, "--parallel", "32"),
        *(
            partial(apply_otherwise, f"{APPLY}, {key}", "--inventory", file, typed=typed)
            for key, (file, typed) in keys.items()
        ),
        ping,
    ]
    for number in range(rounds):
        first = number % len(jobs)
        for job in (*jobs[first:], *jobs[:first]):
            job()
    return table


def _other_keys(lab: Lab) -> dict[str, tuple[str, str]]:
    """By kind of key: a hosts.toml that logs in with it, and what has to be typed."""
    made = {}
    for name, passphrase in (("RSA-4096", ""), ("passphrase", PASSPHRASE)):
        kind = ["rsa", "-b", "4096"] if name == "RSA-4096" else ["ed25519"]
        key = lab.dir / f"key-{name}"
        subprocess.run(["ssh-keygen", "-q", "-t", *kind, "-N", passphrase, "-f", key], check=True)
        public = shlex.quote(key.with_suffix(".pub").read_text().strip())
        for machine in lab.cluster.machines:
            on(lab, machine.name, f"echo {public} >>/etc/ssh/authorized_keys")
        file = lab.dir / f"{name}.toml"
        file.write_text(
            hosts_toml(replace(lab.cluster, ssh=replace(lab.cluster.ssh, key_file=key)))
        )
        made[name] = (str(file), f"{passphrase}\n" if passphrase else "")
    return made


def _by_hand(lab: Lab) -> str:
    """A script that starts as many pings as `apply-routes` does, from each worker's bridge."""
    bridges = {w.name: str(next(w.pod_cidrs[0].hosts())) for w in lab.cluster.workers}
    lines = ["#!/bin/sh"]
    for name, own in bridges.items():
        pings = "".join(
            f"ping -n -q -c 3 -i 0.2 -W 1 -I {own} {to} >/dev/null &\n"
            for other, to in bridges.items()
            if other != name
        )
        inside = shlex.join([*lab.twin.inside(name), "sh", "-c", f"{pings}wait"])
        lines.append(f"{inside} &")
    script = lab.dir / "by-hand.sh"
    script.write_text("\n".join([*lines, "wait\n"]))
    script.chmod(0o755)
    return str(script)


def list_costs(directory: Path) -> Table:
    """`fab --list`, here and in an empty project."""
    (directory / "fabfile.py").write_text("")
    table = Table(lambda: None)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(21):
        here = ["--search-root", str(directory), "--list"]
        table.time("empty", Command([FAB[0], *here], directory, env, status=1))
        table.time("fab --list", Command([*FAB, "--list"], directory, env))
    return table


def versions() -> list[str]:
    """What all this ran on."""
    programs = ([str(BIN / "pip"), "list"], ["ssh", "-V"], ["ip", "-V"])
    said = [subprocess.run(p, capture_output=True, text=True, check=True) for p in programs]
    peers = ("ansible-core", "parallel-ssh", "pyinfra")
    lines = [" ".join(line.split()) for line in said[0].stdout.splitlines()]
    found = [line for line in lines if line.startswith(peers)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return [
        f"{os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}",
        f"Python {platform.python_version()}",
        said[1].stderr.strip(),
        said[2].stdout.strip(),
        *found,
    ]


def main() -> int:
    """Run the rounds, and write or print what they came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--write", type=Path, help="a file for the page; else it is printed")
    given = parser.parse_args()
    sizes = [n for n in ROUNDS if n <= KEYS_AT or os.environ.get("BENCH_LARGE") == "1"]
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        listing = list_costs(root)
        tables = {}
        for workers in sizes:
            with labs(Directories(root)) as make:
                print(f"{workers} workers, {ROUNDS[workers]} rounds", file=sys.stderr)
                try:
                    tables[workers] = bench(make, workers, ROUNDS[workers])
                except RuntimeError as error:
                    print(f"it breaks off: {error}", file=sys.stderr)
    if not {3, KEYS_AT} <= set(tables):
        return 1
    text = page(tables, listing, plan_costs(), growths(), versions(), ROUNDS)
    if given.write:
        given.write.write_text(text)
    else:
        print(text)
    return 0 if len(tables) == len(sizes) else 1


if __name__ == "__main__":
    sys.exit(main())
