"""Starts PID 1 of a twin, and waits until it says that all is up."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from tasks.common.errors import Stop

from .design import Spec
from .kernel import ENVIRONMENT


class Starter(Protocol):
    """The parent of PID 1 of a twin, which this process waits for; a subprocess.Popen is one."""

    returncode: int | None

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it prints."""

    def wait(self) -> int:
        """Return its status when it has ended."""


Start = Callable[[Path, int], Starter]  # given the path to show for the twin, and a stdin


def start_init(path: Path, stdin: int) -> Starter:
    """Start PID 1 of a twin in new namespaces. It answers on its stdout."""
    flags = ["-B"] if sys.dont_write_bytecode else []
    return subprocess.Popen(
        [
            *("unshare", "--pid", "--mount", "--net", "--uts", "--ipc", "--fork", "--kill-child"),
            *(sys.executable, *flags, "-m", "tasks.twin.init", str(path.resolve())),
        ],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        cwd=Path(__file__).parents[2],
        start_new_session=True,  # Ctrl-C spares the twin: the caller may have a change to revert
    )


def ask(process: Starter, lifeline: int, spec: Spec) -> int:
    """Send the spec, and wait for the answer: the pid of the twin's PID 1.

    Raises Stop where the twin cannot be built.
    """
    with contextlib.suppress(BrokenPipeError), open(lifeline, "wb", closefd=False) as pipe:
        pipe.write(spec.to_text().encode() + b"\n")
    assert process.stdout is not None
    words = ["it ended without a message"]
    with process.stdout as answers:
        for line in answers:
            try:
                answer = json.loads(line)
            except ValueError:  # a message of unshare
                words.append(line.decode(errors="replace").strip())
                continue
            if answer["error"]:
                raise Stop(answer["error"])
            return int(answer["pid"])
    raise Stop(f"the twin cannot be built here: {words[-1]} (a container has to be privileged)")
