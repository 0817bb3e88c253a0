"""Proves that copies are as their originals, and writes docs/rehearse.md: a section for each proof.

`--faults`: every fault of docs/diagnosis.md on a twin and on its copy. `--random 200`: so many
machines with random contents. `--cost 50 200`: how long twins of so many machines take.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.pages import write_section

from .conftest import Directories, MakeDirectory, MakeLab, labs, tutorial
from .copies import Row, copied, row
from .kit import ok
from .random_machines import Result, compare
from .test_diagnosis import FAULTS

TWINS = 4  # at a time
MACHINES = 10  # of a twin with random machines


def faults(make_lab: MakeLab, make_directory: MakeDirectory, only: str) -> list[Row]:
    """Every fault whose name has the words, on a twin and on its copy."""
    chosen = [fault for fault in FAULTS if only in fault.name]
    with ThreadPoolExecutor(TWINS) as pool:
        return list(pool.map(lambda fault: row(fault, make_lab, make_directory), chosen))


def is_wrong(found: Row) -> bool:
    """Whether a copy is not as its original, although a machine has what is at fault."""
    return not found.same and found.copy is not None and found.fault.where != "network"


def faults_section(rows: Sequence[Row]) -> str:
    """The faults as a table."""
    lines = ["| fault | where | on the copy |", "|---|---|---|"]
    lines += [f"| {r.fault.name} | {r.fault.where} | {_on_copy(r)} |" for r in rows]
    same = sum(r.same for r in rows)
    return "\n".join(
        [
            "Each fault of [diagnosis.md](diagnosis.md) was made on a twin. Its snapshot was built",
            "as a second twin. `fab verify` ran on both, and the remedies that it names were typed",
            f"on both. {same} of {len(rows)} are the same on the copy: the same pairs are silent,",
            "the same causes are named, and the same remedies mend it. The others are faults of",
            "the network, which is not copied, and a machine that cannot be asked.",
            "",
            *lines,
        ]
    )


def _on_copy(found: Row) -> str:
    if found.copy is None:
        return "no snapshot: that machine cannot be asked"
    if found.same:
        silent = len(found.original.silent)
        mended = "" if found.original.mended is None else ", mended by the same remedies"
        return f"same: {silent} pairs silent, same causes{mended}" if silent else "same"
    if found.fault.where == "network":
        return "not seen: it is in the network between the machines"
    return "**not the same**"


def random_section(result: Result) -> str:
    """What the random machines came to."""
    return "\n".join(
        [
            f"{result.machines} machines got random routes of every type in several tables, policy",
            "rules, settings, links, chains of both backends of iptables, and tables of nft. What",
            "`ip`, `iptables-save`, `nft` and /proc/sys/net say on the original and on the copy",
            f"was compared: {result.lines:,} lines, {len(result.differs)} differ.",
        ]
    )


def cost(sizes: Iterable[int], make_directory: MakeDirectory) -> str:
    """How long a snapshot and a copy of clusters of these sizes take."""
    lines = [
        "| workers | a clean twin | the snapshot | its file | the copy |",
        "|--:|--:|--:|--:|--:|",
    ]
    for size in sizes:
        with labs(make_directory) as make_lab:
            begun = time.monotonic()
            lab = make_lab(tutorial(size))
            clean = time.monotonic() - begun
            ok(lab.fab("apply-routes", "--no-ping", "--yes"))
            file = lab.dir / "timed.json"
            begun = time.monotonic()
            ok(lab.fab("snapshot", str(file)))
            asked = time.monotonic() - begun
            begun = time.monotonic()
            with copied(lab, make_directory):
                copy = time.monotonic() - begun - asked
            bytes_ = f"{file.stat().st_size / 1e6:.1f} MB"
            lines.append(f"| {size} | {clean:.1f} s | {asked:.1f} s | {bytes_} | {copy:.1f} s |")
    return "\n".join(
        [
            "Workers with a route to each other worker and one pod each. The first twin is up all",
            "the while, on the same machine.",
            "",
            *lines,
            "",
            f"Linux {platform.release()}, {os.cpu_count()} cores, a load of"
            f" {os.getloadavg()[1]:.0f} with all that ran beside it: the proportions count.",
        ]
    )


def main() -> int:
    """Run what is asked for, and write or print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.prove_copies", description=__doc__)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--only", default="", help="words of the faults' names")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cost", type=int, nargs="*", default=[])
    parser.add_argument("--write", type=Path, help="the page; else the sections are printed")
    given = parser.parse_args()
    sections = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        directories = Directories(Path(place))
        with labs(directories) as make_lab:
            if given.faults:
                rows = faults(make_lab, directories, given.only)
                sections["Every fault on a copy"] = faults_section(rows)
                wrong += [f"{r.fault.name}: {r.original} {r.copy}" for r in rows if is_wrong(r)]
            if given.random:
                rounds = -(-given.random // MACHINES)
                result = compare(make_lab, directories, rounds, MACHINES, given.seed)
                sections["Random machines"] = random_section(result)
                wrong += result.differs
        if given.cost:
            sections["What it costs"] = cost(given.cost, directories)
    for title, text in sections.items():
        if given.write:
            write_section(given.write, title, text)
        else:
            print(f"## {title}\n\n{text}\n")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
