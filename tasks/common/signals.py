"""Defers Ctrl-C (SIGINT), SIGTERM and SIGHUP while machines are being changed."""

import signal
import sys
from _thread import interrupt_main
from contextlib import suppress
from threading import Timer
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AT_START = {number: signal.getsignal(number) for number in SIGNALS}  # nohup(1) ignores SIGHUP


def allow() -> bool:
    """Make the next task interruptible. True if a signal came while the last one changed machines.

    Restores the signal handlers that this process started with.
    """
    came = any(signal.getsignal(number) is _came for number in SIGNALS)
    for number, handler in _AT_START.items():
        signal.signal(number, handler)
    sys.unraisablehook = _once_more
    return came


def _once_more(lost: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that Python dropped. It drops exceptions in callbacks; imports use some."""
    if lost.exc_type is KeyboardInterrupt:
        Timer(0.05, interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


def _came(_number: int, _frame: FrameType | None) -> None:
    """Ignore a signal. `allow` finds this handler installed if a signal came during a change."""


class Interrupts:
    """Records signals in `seen` instead of ending the process, so every command runs to its end.

    After the outermost block, signals are ignored until the next task starts. If one arrived,
    that task refuses to start.
    """

    def __init__(self) -> None:
        self.seen = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        self._before = {s: signal.signal(s, self._note) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            outermost = handler == _AT_START[number]
            after = _came if self.seen else signal.SIG_IGN
            signal.signal(number, after if outermost else handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.seen = True
        with suppress(OSError):  # after SIGHUP the terminal may be gone
            print("interrupted: one moment, what is under way is ended properly …", file=sys.stderr)
