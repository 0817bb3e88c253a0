"""Proves what --foresee says against pings after the change, on random clusters.

`--clusters 1000 --seed 1`: so many, and which. `--write`: the page; else the section is printed.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from .foresights import Result, compare

TITLE = "What is foreseen, and what comes"
CHUNK = 5  # clusters of one process


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
    result = Result()
    begun = time.monotonic()
    seeds = range(given.seed * 10_000, given.seed * 10_000 + -(-given.clusters // CHUNK))
    with ProcessPoolExecutor(given.at_once) as pool:
        for done in as_completed(pool.submit(compare, seed, CHUNK) for seed in seeds):
            result.add(done.result())
            took = round(time.monotonic() - begun)
            print(
                f"{result.clusters} clusters, {result.pairs} pairs, {len(result.wrong)} wrong,"
                f" {sum(result.doubts.values())} doubts, {took} s",
                file=sys.stderr,
            )
            print("\n".join(done.result().wrong), file=sys.stderr, flush=True)
    print(result)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
