"""What is tried on the Debian releases that `build.sh` has built, and docs/support.md.

`python -m tests.releases --write FILE`: every verb on one cluster of them, a reboot of each under
each network manager, `make demo` on clean ones. What fails is in the page too, and fails the run.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.lab.conftest import Directories, labs

from .checks import MANAGERS, VERBS, demo, mixed, reboot
from .machine import CACHE, built, place

PACKAGES = {
    "python3": "python3",
    "iproute2": "iproute2",
    "OpenSSH": "openssh-server",
    "systemd": "systemd",
    "sudo": "sudo",
    "util-linux": "util-linux",
}
FAILED = "**no**"


def versions(release: str) -> dict[str, str]:
    """The upstream version of each of PACKAGES, from the status file of dpkg(1)."""
    status = (CACHE / release / "worker/var/lib/dpkg/status").read_text()
    found = dict(re.findall(r"^Package: (\S+)\n(?:\S.*\n| .*\n)*?Version: (\S+)", status, re.M))
    return {title: _upstream(found[package]) for title, package in PACKAGES.items()}


def _upstream(version: str) -> str:
    """The version without Debian's epoch and revision: deb-version(7)."""
    return version.rpartition(":")[2].partition("-")[0]


def attempt(what: str, check: Callable[[], str | None]) -> str:
    """What a check says of itself, or "yes"; FAILED where it fails, and on stderr why."""
    print(f"releases: {what}", flush=True)
    try:
        return check() or "yes"
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"releases: {what}: {error}", file=sys.stderr, flush=True)
        return FAILED


def try_verbs(releases: Sequence[str], directory: Path) -> Iterator[tuple[str, str]]:
    """Each verb, and what it came to on a cluster of all these releases."""
    with labs(Directories(directory)) as make, mixed(make, releases, directory) as cluster:
        for verb, check in VERBS.items():
            yield verb, attempt(verb, partial(check, cluster))


def try_release(directory: Path, release: str) -> list[str]:
    """What a reboot under each network manager, and the demo, came to on a release."""
    home = Path(tempfile.mkdtemp(dir=directory))
    cells = []
    for manager in MANAGERS:
        with labs(Directories(directory)) as make:
            check = partial(reboot, make, release, manager, home / manager)
            cells.append(attempt(f"{release}, {manager}", check))
    return [*cells, attempt(f"{release}, demo", partial(demo, release, home / "demo"))]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(
    releases: Sequence[str], verbs: Iterable[Sequence[str]], reboots: Iterable[Sequence[str]]
) -> str:
    """docs/support.md."""
    found = {release: versions(release) for release in releases}
    return f"""# Where it runs

Tried on workers of these releases of Debian. Each is booted by its own systemd, in namespaces on
one computer, with its own programs. Devices and kernel are those of that computer: Linux
{platform.release()}.

{table(["release", *PACKAGES], ([r, *found[r].values()] for r in releases))}

On one cluster of all of them, each set up by another network manager, logged in as a user with
sudo:

{table(["what", "works"], verbs)}

Whether routes applied with `--persist auto` are there after a reboot and gone after a rollback and
another reboot, by the manager of the links; and whether `make demo` works on a clean release, in a
path with a space:

{table(["release", *MANAGERS, "`make demo`"], reboots)}

The computer that you work at needs Python 3.10 or newer. Workers need no Python.

Written by `make releases`, which fails if one of these does not work.
"""


def main() -> int:
    """Try everything on the releases that are built, and write or print the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.releases", description=__doc__)
    parser.add_argument("--write", type=Path, help="a file for the page; else it is printed")
    given = parser.parse_args()
    releases = built()
    if len(releases) < 2:
        parser.error("fewer than two releases are built: see tests/releases/build.sh")
    with place() as directory:
        verbs = list(try_verbs(releases, directory))
        with ThreadPoolExecutor(len(releases)) as pool:  # they wait most of the time
            cells = list(pool.map(partial(try_release, directory), releases))
    rows = [[release, *row] for release, row in zip(releases, cells, strict=True)]
    text = page(releases, verbs, rows)
    if given.write:
        given.write.write_text(text)
    else:
        print(text)
    return 1 if FAILED in text else 0


if __name__ == "__main__":
    sys.exit(main())
