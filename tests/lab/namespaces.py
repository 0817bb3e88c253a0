"""A process in namespaces and a cgroup of its own, for machines that systemd boots."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO


def wait_for(condition: Callable[[], bool], what: str, patience: float = 30) -> None:
    """Wait until a condition holds, at most so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@contextmanager
def namespaces(
    *argv: str, output: int | IO[str] = subprocess.DEVNULL
) -> Iterator[tuple[IO[str], int]]:
    """Run a command as the first process of its own namespaces, while the block runs.

    Gives its stdin and, as it is seen here, its process ID. In the end, all its processes are
    killed and its cgroup is removed.
    """
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    hierarchy = Path(next(words[1] for words in mounts if words[2] == "cgroup2"))
    group = Path(mkdtemp(prefix="pod-routes-lab-", dir=hierarchy))
    join = f"echo $$ >{group}/cgroup.procs; exec setpriv --pdeathsig KILL unshare"
    whole = f'{join} -C -p -m -n -u -i -f --kill-child "$@"'
    with subprocess.Popen(
        ["sh", "-c", whole, "sh", *argv],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        text=True,
    ) as unshare:
        assert unshare.stdin is not None
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        try:
            wait_for(lambda: bool(children.read_text()), "nothing is started")
            yield unshare.stdin, int(children.read_text().split()[0])
        finally:
            unshare.kill()
            unshare.wait()
            wait_for(lambda: not _populated(group), "a process of the machine is left")
            for place, _, _ in os.walk(group, topdown=False):
                Path(place).rmdir()


def _populated(group: Path) -> bool:
    """Whether a process is left in a cgroup or below it."""
    return "populated 1" in (group / "cgroup.events").read_text()
