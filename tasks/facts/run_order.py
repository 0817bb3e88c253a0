"""The order of runs, which is the order in which machines were armed for them. Pure.

A run is named by its operator's clock, and clocks differ. So each machine records the order of its
own runs. A machine may lie. Then other machines contradict it or do not know the run, and a person
has to decide.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.undo.run import when

from .model import Facts

TOLD = 100  # runs of others that one change records on a machine, at most

Row = tuple[str, ...]


def last_runs(facts: Mapping[str, Facts]) -> set[str]:
    """The last confirmed run of each machine."""
    return {found.last.run for found in facts.values() if found.last}


def earlier(found: Facts, lasts: Iterable[str]) -> list[str]:
    """The last runs of other machines that this one does not know, to be recorded before its next.

    So runs without a common machine have an order too, if the later one asked all machines.
    """
    known = {run for line in found.runs for run in line}
    return sorted(run for run in lasts if run not in known)[:TOLD]


def last_run(facts: Mapping[str, Facts]) -> str:
    """The last confirmed run of the cluster; empty where no machine has one.

    Every machine that the run changed must know it. Raises Stop where the machines' records do not
    tell which run was the last.
    """
    named = _named(facts)
    unknown = {
        run: [name for name in names if not _knows(facts[name], run)]
        for run, names in named.items()
    }
    says = _says(facts, named)
    outdone = {one for one, other in says if (other, one) not in says and not unknown[other]}
    latest = [run for run in named if run not in outdone]
    if not named:
        return ""
    if len(latest) == 1 and not unknown[latest[0]]:
        return latest[0]
    lines = []
    for run in latest or named:
        holders = [name for name, found in facts.items() if found.last and found.last.run == run]
        line = f"  the run of {when(run)} is the last one on {listed(holders)}"
        if unknown[run]:
            line += f", which say{'s' * (len(holders) == 1)} that it also changed"
            line += f" {listed(unknown[run])}, where it is unknown"
        lines.append(line)
    lines += [
        f"  the run of {when(one)} came before that of {when(other)} on {listed(names)},"
        f" but after it on {listed(says[other, one])}"
        for (one, other), names in says.items()
        if one < other and (other, one) in says
    ]
    head = "cannot tell which run was the last one; nothing was changed:"
    way_out = "`fab rollback --last --limit NAME` reverts the last run of one machine"
    raise Stop("\n".join([head, *lines, way_out]))


def _named(facts: Mapping[str, Facts]) -> dict[str, list[str]]:
    """The last run of each machine, with the machines that it changed and that were asked."""
    named: dict[str, set[str]] = {}
    for name, found in facts.items():
        if found.last:
            named.setdefault(found.last.run, set()).update((name, *found.last.machines))
    return {run: [name for name in facts if name in names] for run, names in named.items()}


def _knows(found: Facts, run: str) -> bool:
    """Whether a machine was armed for a run."""
    return (found.last is not None and found.last.run == run) or any(
        line[0] == run for line in found.runs
    )


def _says(
    facts: Mapping[str, Facts], named: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], list[str]]:
    """Pairs of an earlier and a later run, with the machines of the later run that say so."""
    says: dict[tuple[str, str], list[str]] = {}
    for name, found in facts.items():
        before: dict[str, None] = {}
        for run, *told in found.runs:
            before.update((one, None) for one in told if one in named)
            if run not in named:
                continue
            if name in named[run]:
                for one in before:
                    if one != run:
                        says.setdefault((one, run), []).append(name)
            before[run] = None
    return says


def merged(trails: Iterable[Sequence[Row]]) -> list[Row]:
    """The rows of all trails in one order that agrees with each trail, unless trails contradict.

    Where no trail orders two rows, the smaller one comes first.
    """
    after: dict[Row, set[Row]] = {}
    waits: Counter[Row] = Counter()
    for trail in trails:
        rows = list(dict.fromkeys(reversed(trail)))[::-1]  # a repeated row counts at its last place
        after.update((row, set()) for row in rows if row not in after)
        for one, other in pairwise(rows):
            if other not in after[one]:
                after[one].add(other)
                waits[other] += 1
    free = [row for row in after if not waits[row]]
    heapify(free)
    all_rows = iter(sorted(after))
    order: dict[Row, None] = {}
    while len(order) < len(after):
        row = heappop(free) if free else next(all_rows)  # the trails contradict each other
        if row in order:
            continue
        order[row] = None
        for other in after[row]:
            waits[other] -= 1
            if not waits[other]:
                heappush(free, other)
    return list(order)
