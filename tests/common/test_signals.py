"""Signals: noted while machines are changed, nothing after that, and allowed again."""

import io
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from tasks.common.signals import Interrupts, allow


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    allow()


class HungUp(io.StringIO):
    """A terminal that has gone."""

    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_a_terminal_that_has_gone_ends_no_rollout_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", HungUp())
    with Interrupts() as interrupts:
        interrupt(signal.SIGHUP)
    assert interrupts.seen


def test_after_a_change_nothing_is_interrupted_until_the_next_task() -> None:
    with Interrupts() as interrupts:
        pass
    interrupt()
    assert not interrupts.seen
    allow()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_a_ctrl_c_that_python_drops_comes_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soak found it: while a module was imported, in the callback of a weak reference."""
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    allow()
    held = HungUp()
    _dropped = weakref.ref(held, lambda _: interrupt())
    del held
    with pytest.raises(KeyboardInterrupt):
        threading.Event().wait(10)


def test_after_a_change_in_which_a_signal_came_the_next_task_is_not_to_begin() -> None:
    with Interrupts():
        interrupt()
    interrupt()
    assert allow()
    assert not allow()


def test_a_change_within_a_watch_leaves_the_signals_to_the_watch() -> None:
    with Interrupts() as watch:
        with Interrupts() as change:
            pass
        interrupt()
    assert watch.seen
    assert not change.seen
