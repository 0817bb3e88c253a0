"""Proves what --foresee says against pings after the change, on random clusters.

`--clusters 1000 --seed 1`: so many, and which. `--write`: the page; else the section is printed. An
interrupt (SIGINT) ends it with what there is by then.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from textwrap import fill

from tasks.common.text import counted
from tests.pages import write_section

from .foresights import Result, compare

TITLE = "What was foreseen, and what came"
CHUNK = 5  # clusters of one seed
SEEDS = 10_000  # of one run


def section(result: Result) -> str:
    """What came of the clusters, in words and as a table."""
    words = f"""{result.clusters:,} random clusters of three workers, some with IPv6 and a
    controller, got faults of the table above with random addresses, links and tables, among what
    random machines have below. It was foreseen what the plan would do. Then the plan was carried
    out on the machines themselves, and all pairs were pinged. {result.refused:,} plans had
    conflicts: the machines stayed as they were, and so did the copy. {result.failed:,} changes
    failed, on the copy and on the machines alike. Of {sum(result.unplanned.values()):,} clusters
    there was no plan, because a machine could not be asked or was not as hosts.toml says."""
    rows = (
        ("answers, as foreseen", result.answering),
        ("silent, as foreseen", result.silent),
        ("nobody could say", sum(result.doubts.values())),
        ("not as foreseen", len(result.wrong)),
    )
    whys = [(why, counted(n, "pair")) for why, n in sorted(result.doubts.items())]
    return "\n".join(
        [
            fill(" ".join(words.split()), 100),
            "",
            "| pairs | | |",
            "|---|--:|--:|",
            *(f"| {what} | {n:,} | {n / max(1, result.pairs):.2%} |" for what, n in rows),
            *(["", "Nobody could say, because:", ""] if whys else []),
            *(fill(f"- {why} ({n})", 100, subsequent_indent="  ") for why, n in whys),
        ]
    )


def run(clusters: int, first: int, at_once: int) -> Result:
    """Compare so many clusters, in processes of their own, because signals need a main thread."""
    result = Result()
    begun = time.monotonic()
    pool = ProcessPoolExecutor(at_once)
    chunks = [pool.submit(compare, first + n, CHUNK) for n in range(-(-clusters // CHUNK))]
    try:
        for done in as_completed(chunks):
            result.add(done.result())
            took = round(time.monotonic() - begun)
            print(f"{result.clusters} clusters, {result.pairs} pairs, {took} s", file=sys.stderr)
            print(*done.result().wrong, sep="\n", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return result


def main() -> int:
    """Run what is asked for, and write or print it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.prove_foresight", description=__doc__
    )
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    result = run(given.clusters, given.seed * SEEDS, given.at_once)
    text = section(result)
    if given.write:
        write_section(given.write, TITLE, text)
    else:
        print(f"## {TITLE}\n\n{text}\n")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
