"""How time grows with what one machine says: each reader, and planning, at two sizes.

`python -m tests.bench.growth` prints the table.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.iproute.route import parse
from tests.growth import EXAMINING, READING, REPLACING, Job

SIZE = 1000  # routes, services, ...: and four times as many
ROUNDS = 5


@dataclass(frozen=True)
class Growth:
    """What one job took at SIZE and at four times as much, in seconds of processor time."""

    name: str
    small: float
    large: float

    @property
    def ratio(self) -> float:
        """4 where time grows as what is said, 16 where it grows as its square."""
        return self.large / self.small


def growths() -> list[Growth]:
    """Each job, the least of some rounds; the sizes in turn."""
    kinds: dict[str, dict[str, Callable[[int], Job]]] = {
        "read": READING,
        "plan, all allowed": REPLACING,
        "find causes": EXAMINING,
    }
    return [
        _growth(f"{verb}: {name}", of) for verb, jobs in kinds.items() for name, of in jobs.items()
    ]


def _growth(name: str, of: Callable[[int], Job]) -> Growth:
    jobs = [of(SIZE), of(4 * SIZE)]
    rounds = [[_seconds(job) for job in jobs] for _ in range(ROUNDS)]
    return Growth(name, *map(min, zip(*rounds, strict=True)))


def _seconds(job: Job) -> float:
    parse.cache_clear()
    started = time.process_time()
    job()
    return time.process_time() - started


def section(found: Sequence[Growth]) -> str:
    """The part of docs/benchmarks.md."""
    lines = [
        "## Growth",
        "",
        f"One of three machines says {SIZE:,} of something, then four times as many: from its",
        f"answer to the report, no network. Processor time, the least of {ROUNDS} rounds. A",
        "ratio of 4 is linear, 16 would be the square.",
        "",
        f"| | {SIZE:,} | {4 * SIZE:,} | ratio |",
        "|---|--:|--:|--:|",
        *(f"| {g.name} | {g.small:.3f} s | {g.large:.3f} s | {g.ratio:.1f} |" for g in found),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(section(growths()))
