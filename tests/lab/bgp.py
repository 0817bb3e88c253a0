"""The move to BGP and back, kills, ends of BIRD and dead machines, measured on twins.

`python -m tests.lab.bgp --moves 100 --write docs/bgp.md` writes the section of that page with what
it measured, and leaves the others.
"""

import argparse
import itertools
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.bgp.bird_conf import HOLD_TIME, RESTART_TIME, STALE_TIME
from tests.pages import write_section

from .bgp_kills import KILLS, WAYS, WORKERS, kills
from .bgp_measures import Died, Joined, Measured, deaths, joining, moves, restarts
from .conftest import Directories, MakeLab, labs, tutorial
from .soak import ENDS, Result


class Section(NamedTuple):
    """What came of one part: a section of the page."""

    title: str
    text: str
    good: bool  # whether all is as promised


TRAFFIC = """Pods ping each other every millisecond in both directions, three pairs, and one TCP
connection brings a hundred bytes every millisecond. `ip monitor route` logs on every machine. A
prefix is bare if at some moment of this log it had no route. A gap is a number of pings in a row
without an answer. The full neighbor tables are counted meanwhile: a kernel has one table for all
machines of a twin."""
ENDS_OF_BIRD = f"""BIRD is killed with `kill -9` on a random machine of {WORKERS}, under the same
traffic, and started after a second, as its unit does it. With BFD a BIRD that ends looks like a
machine that is dead, and its routes go at once. Without it the kernel of the machine closes the
connections, and the neighbors wait {RESTART_TIME} s for the new BIRD."""
KILLED_RUNS = f"""Kills at a random moment of a move, {WORKERS} workers with two reflectors,
`--confirm-timeout 5`. After the deadline each machine has all that it had before, or all that the
plan gives it: routes, files and process. A machine that misses the confirmation keeps BIRD beside
its static routes, because others may need it; that counts as before."""
SILENT = f"""How long routes stay on other machines when a machine falls silent (hold time
{HOLD_TIME} s). Those of reflectors stay {STALE_TIME // 3600} hours, so that a cluster without
reflectors goes on as it is."""
CHANGES = """Two reflectors. The time is that of `fab apply-routes`, with everything on two busy
cores."""


def _moves(make: MakeLab, given: argparse.Namespace) -> Section:
    moved = moves(make(tutorial(given.workers)), given.moves)
    words = f"--moves {given.moves} --workers {given.workers}"
    return _section("Moves under traffic", TRAFFIC, _measured([moved]), words, moved.good)


def _restarts(make: MakeLab, given: argparse.Namespace) -> Section:
    lab = make(tutorial(WORKERS))
    plain = restarts(lab, given.restarts, given.seed, bfd=False)
    rows = _measured([plain, restarts(lab, given.restarts, given.seed, bfd=True)])
    words = f"--restarts {given.restarts} --seed {given.seed}"
    return _section("Ends of BIRD", ENDS_OF_BIRD, rows, words, plain.good)


def _deaths(make: MakeLab, _: argparse.Namespace) -> Section:
    lab = make(tutorial(WORKERS))
    died = [row for bfd in (False, True) for row in deaths(lab, bfd)]
    rows = _table(DEAD, map(_died, died))
    return _section("Silent machines", SILENT, rows, "--deaths", all(row.good for row in died))


def _kills(make: MakeLab, given: argparse.Namespace) -> Section:
    results = kills(make, given.kills, given.seed)
    rows = _table(KILLED, _killed(results))
    good = not any(result.complaints for result in results)
    words = f"--kills {given.kills} --seed {given.seed}"
    return _section("Kills during a move", KILLED_RUNS, rows, words, good)


def _join(make: MakeLab, given: argparse.Namespace) -> Section:
    joined = joining(make, given.join)
    rows, good = _table(CHANGED, map(_joined, joined)), all(row.good for row in joined)
    return _section("A worker comes and goes", CHANGES, rows, f"--join {given.join}", good)


PARTS = {"moves": _moves, "restarts": _restarts, "deaths": _deaths, "kills": _kills, "join": _join}


def _section(title: str, words: str, rows: str, command: str, good: bool) -> Section:
    bird = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=True).stderr
    by = f"""Written by `python -m tests.lab.bgp {command}`, which fails if something is not as
promised. Linux {platform.release()}, {bird.strip()}."""
    return Section(title, f"{words}\n\n{rows}\n\n{by}", good)


MEASURED = (
    *("what", "times", "pings", "lost", "longest gap", "TCP sent again", "broken"),
    *("route events", "bare prefixes", "tables full"),
)
KILLED = ("killed", "move", "rounds", *ENDS, "not as promised")
DEAD = ("silent", "BFD", "routes went after", "as promised")
CHANGED = ("what", "workers", "machines touched", "seconds", "as promised")


def _table(heads: Sequence[str], rows: Iterable[list[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _measured(found: list[Measured]) -> str:
    rows: list[list[object]] = []
    for row in found:
        loss, bare = row.loss, sum(map(len, row.log.without.values()))
        counts = [f"{n:,}" for n in (loss.sent, loss.lost, loss.gap, loss.retransmitted)]
        rest = (loss.broken, row.log.events, bare, row.table_fulls)
        rows.append([row.what, row.rounds, *counts, *rest])
    return _table(MEASURED, rows)


def _killed(results: list[Result]) -> Iterator[list[object]]:
    for kill, way in itertools.product(KILLS, WAYS):
        these = [r for r in results if (r.fault, r.verb) == (kill.name, way)]
        yield [kill.name, WAYS[way], *_counts(these)]
    yield ["all", "", *_counts(results)]


def _counts(results: list[Result]) -> list[object]:
    ends = Counter(result.end for result in results)
    bad = sum(bool(result.complaints) for result in results)
    return [len(results), *(ends[end] for end in ENDS), bad]


def _died(row: Died) -> list[object]:
    went = "they stay" if row.seconds is None else f"{row.seconds:.1f} s"
    return [row.what, "on" if row.bfd else "off", went, "yes" if row.good else "no"]


def _joined(row: Joined) -> list[object]:
    good = "yes" if row.good else "no"
    return [row.what, row.workers, row.touched, f"{row.seconds:.0f}", good]


def main() -> int:
    """Measure, and write or print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.bgp", description=__doc__)
    parser.add_argument("--moves", type=int, default=0, help="there and back, under traffic")
    parser.add_argument("--workers", type=int, default=50, help="in the cluster that moves")
    parser.add_argument("--restarts", type=int, default=0, help="of BIRD, without and with BFD")
    parser.add_argument("--deaths", action="store_true", help="of a worker, of both reflectors")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--join", type=int, default=0, help="workers of a cluster that one joins")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="the page; else the figures are printed")
    given = parser.parse_args()
    good = True
    for part in (PARTS[name] for name in PARTS if getattr(given, name)):
        with tempfile.TemporaryDirectory() as place, labs(Directories(Path(place))) as make:
            section = part(make, given)
        if given.write:
            write_section(given.write, section.title, section.text)
        else:
            print(f"## {section.title}\n\n{section.text}\n")
        good &= section.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
