"""Faults by the hundred: after each, every machine's kernel is asked whether it is whole.

`python -m tests.lab.soak --rounds N --seed S --write FILE` counts them in a table.
"""

import argparse
import itertools
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.pages import with_head

from .conftest import Directories, MakeLab, labs, tutorial
from .faults import FAULTS, Fault, Round
from .kit import QUIET, ok, on

VERBS = ("apply-routes", "rollback")
KINDS = tuple(itertools.product(FAULTS, VERBS))
ENDLESS = "it did not end by itself"
PATIENCE = 60  # seconds for a run to end, and for all that it armed
HISTORY = "/var/lib/pod-routes/history"

# Nothing armed here, no probe's link that the kernel has still to take away, and all quiet.
IDLE = f"""until [ -z "$(ls -d /run/pod-routes/pending* /run/pod-routes/undoing 2>/dev/null)" ] &&
  ! ip -o link show type veth | grep -q ': probe' && {QUIET}
do sleep 0.1; done"""

ENDS = ("wanted", "never changed", "taken back", "some")

Tables = dict[str, list[str]]


@dataclass(frozen=True)
class Result:
    """How one round ended; no complaints if all is as promised."""

    fault: str
    verb: str
    end: str  # one of ENDS
    complaints: tuple[str, ...]


class Bench:
    """A twin that is used over many rounds."""

    def __init__(self, make: MakeLab) -> None:
        self._make = make
        self._build()

    def _build(self) -> None:
        """A twin, and its tables without the routes and with them."""
        self._lab = self._make(tutorial())
        self._tables: dict[str, Tables] = {}
        self._length: dict[str, float] = {}
        for verb in VERBS:
            self._undisturbed(verb)
            self._tables[verb] = self._lab.tables()

    def _undisturbed(self, verb: str) -> None:
        """A run that nothing happens to; it says how long one takes as busy as all is now."""
        started = time.monotonic()
        ok(self._lab.fab(verb))
        self._length[verb] = time.monotonic() - started

    def round(self, fault: Fault, verb: str, chance: random.Random) -> Result:
        """One fault upon one run, judged."""
        other = next(v for v in VERBS if v != verb)
        self._lead_to(other)
        machines = [machine.name for machine in self._lab.cluster.machines]
        now = Round(self._lab, verb, chance, self._length[verb], chance.choice(machines))
        fault.strike(now)
        said = [(*ended(run), run.returncode) for run in now.runs]
        fault.mend(now)
        for name in machines:
            done = self._lab.twin.run(name, ["timeout", str(PATIENCE), "sh", "-c", IDLE])
            if done.returncode:
                return Result(fault.name, verb, "some", (f"{name} does not come to rest",))
        before, wanted = self._tables[other], self._tables[verb]
        return Judge(now, fault, before, wanted, self._lab.tables()).result(said)

    def _lead_to(self, verb: str) -> None:
        """The state before a round, in a new twin where need be; the histories start anew."""
        if self._lab.tables() != self._tables[verb]:
            self._undisturbed(verb)
        if self._lab.tables() != self._tables[verb]:
            self._lab.twin.stop()
            self._build()
            self._undisturbed(verb)
        for machine in self._lab.cluster.machines:
            on(self._lab, machine.name, f"rm -f {HISTORY}")


def ended(run: "subprocess.Popen[str]") -> tuple[str, str]:
    """What a run has printed; one that does not end is ended, and says no last line."""
    try:
        return run.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        run.kill()
        return run.communicate()[0], ENDLESS


class Judge:
    """What a round's end must be, by the kernels' tables, the histories and the last lines."""

    def __init__(
        self, now: Round, fault: Fault, before: Tables, wanted: Tables, tables: Tables
    ) -> None:
        self._now = now
        self._fault = fault
        self._broken = {
            n: _difference(t, before[n])
            for n, t in tables.items()
            if t not in (before[n], wanted[n])
        }
        self._wanted = {n for n, t in tables.items() if t == wanted[n]}
        self._before = {n for n, t in tables.items() if t == before[n]}
        self._others = set(tables) - {now.rebooted}
        trails = {n: on(now.lab, n, f"cat {HISTORY} 2>/dev/null; true") for n in tables}
        self._kept = {n for n, trail in trails.items() if "\tkept\n" in trail}
        self._undone = {n for n, trail in trails.items() if "\tundone: " in trail}
        listing = "ls /run/pod-routes 2>/dev/null; true"
        self._left = set().union(*(on(now.lab, n, listing).split() for n in tables))

    def result(self, runs: list[tuple[str, str, int]]) -> Result:
        """The round with all that is not as promised."""
        complaints = [f"{name} is a mix: {lines}" for name, lines in self._broken.items()]
        if left := self._left - {"displaced", "last", "lock"}:
            complaints.append(f"left behind: {left}")
        if wrong := (self._wanted ^ self._kept) & self._others:
            complaints.append(f"against its history: {wrong}")
        for out, errors, status in runs:
            if errors == ENDLESS:
                complaints.append(errors)
            last = (out.strip() or errors.strip()).splitlines()[-1:] or [""]
            complaints += [f"{c} (status {status}: {last[0]})" for c in self._of(status, last[0])]
            if "Traceback" in errors and status >= 0:
                complaints.append(f"a traceback: {errors[-600:]}")
        end = "wanted" if self._others <= self._wanted else "some"
        if self._others <= self._before:
            end = "taken back" if self._undone else "never changed"
        return Result(self._fault.name, self._now.verb, end, tuple(complaints))

    def _of(self, status: int, last: str) -> Iterator[str]:
        """What one run's exit status and last line say that is not so."""
        if status not in self._fault.statuses:
            yield "not a status for this"
        done = self._others <= self._wanted
        undone = self._others <= self._before
        if status == 0 and not (done and last.startswith(("done: ", "nothing to do"))):
            yield "not done"
        if status in (1, 3, 130) and not undone and len(self._now.runs) == 1:
            yield "not as before"
        if status == 3 and last != "all as before":
            yield "not the line for it"
        if status == 4 and " is in doubt: " in last:
            named = last.removeprefix("committed, but ").partition(" is in doubt")[0].split(", ")
            if "is as before by then" not in last and not self._others - set(named) <= self._wanted:
                yield "others than those in doubt are as before"
        elif status == 4 and last.startswith("committed, but "):
            named = last.removeprefix("committed, but ").partition(" is as before")[0].split(", ")
            late = set(named) & self._others
            if not late <= self._before or not self._others - late <= self._wanted:
                yield "others than those named are as before"
        elif status == 4 and not (undone and last.startswith("unknown: ")):
            yield "not as it says"


def _difference(table: list[str], before: list[str]) -> str:
    """What is in only one of two tables, in the form of a diff."""
    gone, come = set(before) - set(table), set(table) - set(before)
    return ", ".join(
        [*(f"- {line}" for line in sorted(gone)), *(f"+ {line}" for line in sorted(come))]
    )


def soak(make: MakeLab, kinds: Iterable[tuple[Fault, str]], seed: int, twins: int) -> list[Result]:
    """One round for each of `kinds`, spread over some twins; the same chances for a seed."""
    numbered = list(enumerate(kinds))
    benches = [Bench(make) for _ in range(twins)]

    def work(index: int) -> list[Result]:
        results = []
        for number, (fault, verb) in numbered[index::twins]:
            result = benches[index].round(fault, verb, random.Random(f"{seed}-{number}"))  # noqa: S311
            for complaint in result.complaints:
                print(f"round {number}, {fault.name}, {verb}: {complaint}", file=sys.stderr)
            results.append(result)
        return results

    with ThreadPoolExecutor(twins) as pool:
        return list(itertools.chain.from_iterable(pool.map(work, range(twins))))


def table(results: list[Result]) -> str:
    """The rounds counted, in Markdown."""
    lines = [
        "| fault | run | rounds | wanted | never changed | taken back | some | not as promised |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for fault, verb in KINDS:
        these = [r for r in results if (r.fault, r.verb) == (fault.name, verb)]
        lines.append(f"| {fault.name} | {verb} | {_counts(these)} |")
    return "\n".join([*lines, f"| all | | {_counts(results)} |"])


def _counts(results: list[Result]) -> str:
    ends = Counter(result.end for result in results)
    bad = sum(bool(result.complaints) for result in results)
    counts = [len(results), *(ends[end] for end in ENDS), bad]
    return " | ".join(map(str, counts))


def page(results: list[Result], rounds: int, seed: int) -> str:
    """docs/reliability.md."""
    ip = subprocess.run(["ip", "-V"], capture_output=True, text=True, check=True).stdout
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr
    return f"""# Faults, counted

Each round is a run of `fab apply-routes` or `fab rollback` with `--confirm-timeout 5` on a twin of
three workers: real OpenSSH servers, kernel tables and pods. One fault comes upon it, most of them
at a random moment of the run, late ones more often, or of what is left once an undo is armed.
When the run has ended the fault is mended (a link is up again, a firewall open, a foreign route
gone). Once nothing is armed any more and no watchdog is alive, every machine's whole kernel table
is compared with those before and those wanted, default route included.

Promised, and counted as not as promised where it is not so: every machine is as before or as
wanted, never a mix; the cluster is so as a whole, unless the first machine had been confirmed (its
history says so); exit status and last line say nothing else; nothing is left behind. "Never
changed" and "taken back" are both as before; "some" are runs that were cut off while they
confirmed, so that some machines are as wanted and some as before. A worker that was rebooted comes
up without routes of this tool; it may not be a mix either, and the rest of its row is about the
other workers.

{table(results)}

Written by `make soak ROUNDS={rounds} SEED={seed}`, which fails if a round is not as promised.
Linux {platform.release()}, {ip.strip()}, {ssh.strip()}.
"""


def main() -> int:
    """Run the rounds, and write or print what they came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--twins", type=int, default=6, help="how many at a time")
    parser.add_argument("--write", type=Path, help="a file for the page; else it is printed")
    given = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make = stack.enter_context(labs(Directories(root)))
        kinds = itertools.islice(itertools.cycle(KINDS), given.rounds)
        results = soak(make, kinds, given.seed, min(given.twins, given.rounds))
    text = page(results, given.rounds, given.seed)
    if given.write:
        held = given.write.read_text() if given.write.exists() else ""
        given.write.write_text(with_head(held, text))
    else:
        print(text)
    return 1 if any(result.complaints for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
