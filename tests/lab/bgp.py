"""The move to BGP and back, kills, ends of BIRD and dead machines, measured on twins.

`python -m tests.lab.bgp --write docs/bgp.md` writes the tables between two comments of the page.
"""

import argparse
import itertools
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tasks.bgp.bird_conf import HOLD_TIME, RESTART_TIME, STALE_TIME

from .bgp_kills import KILLS, WAYS, WORKERS, kills
from .bgp_measures import Died, Joined, Measured, deaths, joining, moves, restarts
from .conftest import Directories, MakeLab, labs, tutorial
from .soak import ENDS, Result

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass
class Figures:
    """All that was measured; a part that was not is empty."""

    lossless: list[Measured] = field(default_factory=list)
    with_bfd: list[Measured] = field(default_factory=list)
    kills: list[Result] = field(default_factory=list)
    died: list[Died] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        """Whether something is not as promised. With BFD, the end of a BIRD costs packets."""
        good = [row.good for row in self.lossless] + [row.good for row in self.died]
        good += [row.good for row in self.joined] + [not row.complaints for row in self.kills]
        return not all(good)


def measure(make: MakeLab, given: argparse.Namespace) -> Figures:
    """Measure what is asked for, one after the other."""
    found = Figures()
    if given.moves:
        lab = make(tutorial(given.workers))
        found.lossless.append(moves(lab, given.moves))
        lab.twin.stop()
    lab = make(tutorial(WORKERS))
    if given.restarts:
        found.lossless.append(restarts(lab, given.restarts, given.seed, bfd=False))
        found.with_bfd.append(restarts(lab, given.restarts, given.seed, bfd=True))
    found.died = [row for bfd in (False, True) for row in deaths(lab, bfd)]
    lab.twin.stop()
    found.kills = kills(make, given.kills, given.seed)
    if given.join:
        found.joined = joining(make, given.join)
    return found


def text(found: Figures, command: str) -> str:
    """The tables, in Markdown."""
    bird = subprocess.run(["bird", "--version"], capture_output=True, text=True, check=True).stderr
    return f"""Pods ping each other every millisecond in both directions, three pairs, and one TCP
connection brings a hundred bytes every millisecond. `ip monitor route` logs on every machine. A
prefix is bare if at some moment of this log it had no route. A gap is a number of pings in a row
without an answer. BIRD is killed with `kill -9` on a random machine, and started after a second, as
its unit does it.

{_table(MEASURED, map(_measured, (*found.lossless, *found.with_bfd)))}

With BFD a BIRD that ends looks like a machine that is dead, and its routes go at once. Without it
the kernel of the machine closes the connections, and the neighbors wait {RESTART_TIME} s for the
new BIRD. The full neighbor tables are counted while the cluster moves: a kernel has one table for
all machines of a twin.

Kills at a random moment of a move, {WORKERS} workers with two reflectors, `--confirm-timeout 5`.
After the deadline each machine has all that it had before, or all that the plan gives it: routes,
files and process. A machine that misses the confirmation keeps BIRD beside its static routes,
because others may need it; that counts as before.

{_table(KILLED, _killed(found.kills))}

How long routes stay on other machines when a machine falls silent (hold time {HOLD_TIME} s).
Those of reflectors stay {STALE_TIME // 3600} hours, so that a cluster without reflectors goes on
as it is.

{_table(DEAD, map(_died, found.died))}

A worker that comes and goes, with two reflectors. The time is that of `fab apply-routes`, with
everything on two busy cores.

{_table(CHANGED, map(_joined, found.joined))}

Written by `{command}`,
which fails if something is not as promised. Linux {platform.release()}, {bird.strip()}.
"""


MEASURED = (
    *("what", "times", "pings", "lost", "longest gap", "TCP sent again", "broken"),
    *("route events", "bare prefixes", "tables full"),
)
KILLED = ("killed", "move", "rounds", *ENDS, "not as promised")
DEAD = ("silent", "BFD", "routes went after", "as promised")
CHANGED = ("what", "workers", "machines touched", "seconds", "as promised")


def _table(heads: Sequence[str], rows: "Iterator[list[object]] | map[list[object]]") -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _measured(row: Measured) -> list[object]:
    loss, bare = row.loss, sum(map(len, row.log.without.values()))
    counts = [f"{n:,}" for n in (loss.sent, loss.lost, loss.gap, loss.retransmitted)]
    return [row.what, row.rounds, *counts, loss.broken, row.log.events, bare, row.table_fulls]


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


def with_figures(page: str, figures: str) -> str:
    """The page with other figures between its two comments; they are added where it has none."""
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head.rstrip()}\n\n{BEGIN}\n{figures.strip()}\n{END}\n{tail.lstrip(chr(10))}"


def main() -> int:
    """Measure, and write or print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.bgp", description=__doc__)
    parser.add_argument("--workers", type=int, default=50, help="in the cluster that moves")
    parser.add_argument("--moves", type=int, default=100, help="there and back")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--restarts", type=int, default=20, help="of BIRD, without and with BFD")
    parser.add_argument("--join", type=int, default=200, help="workers of a cluster that one joins")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="the page; else the figures are printed")
    given = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make = stack.enter_context(labs(Directories(root)))
        found = measure(make, given)
    names = ("workers", "moves", "kills", "restarts", "join", "seed")
    words = " ".join(f"{name.upper()}={getattr(given, name)}" for name in names)
    figures = text(found, f"make bgp {words}")
    if given.write:
        given.write.write_text(with_figures(given.write.read_text(), figures))
    else:
        print(figures)
    return 1 if found.bad else 0


if __name__ == "__main__":
    sys.exit(main())
