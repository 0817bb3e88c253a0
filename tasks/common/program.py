"""Runs a program on the operator's machine, with limits on its time and its output."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

MOST_STDOUT = 64 << 20  # bytes
MOST_STDERR = 1 << 20
PART = 1 << 16  # bytes per read
# Seconds between checks whether the program has ended. Its children may keep the pipes open.
LOOK = 0.1


class TimedOut(Exception):
    """The program did not end within its time limit."""


class TooMuchOutput(Exception):
    """The program printed more than its limit."""


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it printed."""

    status: int
    stdout: bytes
    stderr: bytes


def run(argv: Sequence[str], seconds: float) -> Ended:
    """Run a program with an empty stdin, for at most `seconds`.

    Raises TimedOut, TooMuchOutput or KeyboardInterrupt after killing the program and its children.
    Raises OSError if the program cannot be started.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that killpg reaches its children too
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        out, err = process.stdout.fileno(), process.stderr.fileno()
        stdout, stderr = _heard(process, out, err, deadline)
        process.wait(max(0.0, deadline - time.monotonic()))
    except BaseException as error:
        if process.returncode is None:  # else another process may have its PID by now
            os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # the kernel may delay its end
                process.wait(1)
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimedOut from None
        raise
    finally:
        process.stdout.close()
        process.stderr.close()
    return Ended(process.returncode, stdout, stderr)


def _heard(
    process: subprocess.Popen[bytes], out: int, err: int, deadline: float
) -> tuple[bytes, bytes]:
    """What the program prints until it ends: stdout, stderr. Raises TimedOut, TooMuchOutput."""
    heard: dict[int, list[bytes]] = {out: [], err: []}
    room = {out: MOST_STDOUT, err: MOST_STDERR}
    with selectors.DefaultSelector() as selector:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > deadline:
                raise TimedOut
            ended = process.poll() is not None  # asked first: it may print once more, and end
            ready = selector.select(LOOK)
            if not ready and ended:
                break
            for key, _ in ready:
                part = os.read(key.fd, PART)
                heard[key.fd].append(part)
                room[key.fd] -= len(part)
                if room[key.fd] < 0:
                    raise TooMuchOutput
                if not part:
                    selector.unregister(key.fd)
    return b"".join(heard[out]), b"".join(heard[err])
