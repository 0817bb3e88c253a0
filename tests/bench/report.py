"""The page of what was timed: a table for each size, and the marks that are aimed at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .growth import Growth, section
from .peers import NAMES, TUTORIAL
from .planning import Cost
from .timing import Table

APPLY = "apply-routes"
AGAIN = "apply-routes, nothing to do"
PARALLEL = "apply-routes --parallel 32"
PINGED = "apply-routes with pings"
VERIFY = "verify"
BY_HAND = "the same pings by hand"


@dataclass(frozen=True)
class Mark:
    """One figure that is aimed at: at most `limit`, or at least."""

    what: str
    found: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def row(self) -> str:
        """Its line in the table."""
        held = self.found >= self.limit if self.at_least else self.found <= self.limit
        bound = "at least" if self.at_least else "at most"
        return (
            f"| {self.what} | {self.found:.2f}{self.unit} | {bound} {self.limit:g}{self.unit} |"
            f" {'yes' if held else '**no**'} |"
        )


def page(
    tables: Mapping[int, Table],
    listing: Table,
    costs: Sequence[Cost],
    growths: Sequence[Growth],
    versions: Sequence[str],
    rounds: Mapping[int, int],
) -> str:
    """docs/benchmarks.md."""
    parts = [
        HEAD,
        *(_size(workers, table, rounds[workers]) for workers, table in tables.items()),
        _planning(costs),
        section(growths),
        _marks(tables, listing, costs, growths),
        "## On what\n\n" + "\n".join(f"- {line}" for line in versions),
    ]
    return "\n\n".join(parts) + "\n"


HEAD = """# What it costs

Whole processes, from their start to their end, on a twin of so many workers: real OpenSSH servers
and kernel tables, all on one machine, so that what the workers do costs as much as what the
operator's machine does. All are timed in turn in each round, with an ed25519 key, and each round
begins with another; medians, and the least and the most. What others do is the bare push of the
same routes: no plan, no guard, no undo, nothing read back. `ratio` is to what the fastest of them
took in the same round, the median of the rounds: a machine is not as fast in every minute.

Written by `make bench` (`BENCH_LARGE=1` adds 200 workers)."""


def fastest(table: Table) -> str:
    """The fastest of the others."""
    return min(NAMES, key=table.median)


def _size(workers: int, table: Table, rounds: int) -> str:
    base = fastest(table)
    lines = [
        f"## {workers} workers, {rounds} rounds" if rounds > 1 else f"## {workers} workers, once",
        "",
        "| | seconds | least to most | ratio | memory |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in table.names:
        median, least, most = table.seconds(name)
        shown = (
            name if name in (*NAMES, BY_HAND) else f"`fab {name}`".replace("`fab", "**`fab") + "**"
        )
        lines.append(
            f"| {shown} | {median:.2f} | {least:.2f} to {most:.2f} |"
            f" {table.ratio(name, base):.2f} | {table.megabytes(name):.0f} MB |"
        )
    return "\n".join(lines)


def _planning(costs: Sequence[Cost]) -> str:
    lines = [
        "## Planning",
        "",
        "From what the machines say, in a kernel's own lines, to the plan; nothing to change.",
        "The least of three processes.",
        "",
        "| workers | routes | seconds | a route | memory |",
        "|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {c.workers} | {c.routes:,} | {c.seconds:.2f} | {c.microseconds:.1f} µs |"
        f" {c.megabytes:.0f} MB |"
        for c in costs
    ]
    return "\n".join(lines)


def _marks(
    tables: Mapping[int, Table],
    listing: Table,
    costs: Sequence[Cost],
    growths: Sequence[Growth],
) -> str:
    at_50, at_3, last = tables[50], tables[3], tables[max(tables)]
    base = fastest(at_50)
    pings = at_50.median(PINGED) - at_50.median(APPLY)
    by_workers = {cost.workers: cost for cost in costs}
    marks = [
        Mark(f"50 workers, `{APPLY}`: fastest other's push", at_50.ratio(APPLY, base), 1.6),
        Mark(f"50 workers, `{PARALLEL}`: same", at_50.ratio(PARALLEL, base), 1.3),
        Mark("50 workers, nothing to do: same", at_50.ratio(AGAIN, base), 1.1),
        Mark(
            f"50 workers, Ansible's push: `{APPLY}`",
            at_50.ratio("Ansible", APPLY),
            6,
            at_least=True,
        ),
        *(
            Mark(f"50 workers, {key}: fastest other's push", at_50.ratio(name, base), 1.6)
            for key in ("RSA-4096", "passphrase")
            if (name := f"{APPLY}, {key}") in at_50.names
        ),
        Mark(f"3 workers, `{APPLY}`: the tutorial's loop", at_3.ratio(APPLY, TUTORIAL), 1),
        Mark("50 workers, its pings: the same by hand", pings / at_50.median(BY_HAND), 1.5),
        Mark("`fab --list`: in an empty project", listing.ratio("fab --list", "empty"), 1.15),
        Mark(
            f"memory at {max(tables)} workers",
            max(map(last.megabytes, (APPLY, VERIFY))),
            250,
            " MB",
        ),
        Mark("planning for 1,000 workers", by_workers[1000].seconds, 5, " s"),
        Mark("its memory", by_workers[1000].megabytes, 1000, " MB"),
        Mark(
            "planning, a route: 2,000 workers to 100",
            by_workers[2000].microseconds / by_workers[100].microseconds,
            1.2,
        ),
        Mark("time for four times as much of one machine", max(g.ratio for g in growths), 8),
    ]
    head = ["## Marks", "", "| | found | aimed at | held |", "|---|--:|--:|---|"]
    return "\n".join([*head, *(mark.row for mark in marks)])
