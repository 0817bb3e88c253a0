"""Runs a program on this machine, with limits on its time and its output."""

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
PART = 1 << 16
LOOK = 0.1  # seconds until it is asked whether it has ended, where what it started prints on


class TooLong(Exception):
    """The program did not end within its time limit."""


class TooMuch(Exception):
    """The program printed more than its limit."""


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it printed."""

    status: int
    stdout: bytes
    stderr: bytes


def run(argv: Sequence[str], seconds: float) -> Ended:
    """Run a program with nothing on its stdin.

    Raises TooLong, TooMuch, OSError where it cannot be started, and KeyboardInterrupt. Then it is
    killed, and with it what it has started.
    """
    deadline = time.monotonic() + seconds
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # which is what is killed
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        out, err = process.stdout.fileno(), process.stderr.fileno()
        stdout, stderr = _heard(process, out, err, deadline)
        process.wait(max(0.0, deadline - time.monotonic()))
    except BaseException as error:
        if process.returncode is None:  # else its number may be another's
            os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # the kernel may hold it up
                process.wait(1)
        if isinstance(error, subprocess.TimeoutExpired):
            raise TooLong from None
        raise
    finally:
        process.stdout.close()
        process.stderr.close()
    return Ended(process.returncode, stdout, stderr)


def _heard(
    process: subprocess.Popen[bytes], out: int, err: int, deadline: float
) -> tuple[bytes, bytes]:
    """What it prints until it has ended, and all of it was read."""
    heard: dict[int, list[bytes]] = {out: [], err: []}
    room = {out: MOST_STDOUT, err: MOST_STDERR}
    with selectors.DefaultSelector() as selector:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > deadline:
                raise TooLong
            ready = selector.select(LOOK)
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                part = os.read(key.fd, PART)
                heard[key.fd].append(part)
                room[key.fd] -= len(part)
                if room[key.fd] < 0:
                    raise TooMuch
                if not part:
                    selector.unregister(key.fd)
    return b"".join(heard[out]), b"".join(heard[err])
