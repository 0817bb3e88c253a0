"""Progress: a line in a terminal after a while, and nothing else anywhere."""

import io
import sys
import threading

import pytest

from tasks.common import progress


class Terminal(io.StringIO):
    """What is written there; it says so to whoever waits."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def test_a_terminal_shows_how_many_are_done_and_is_left_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.01)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress.progress("asking", 50) as step:
        step()
        assert terminal.written.wait(10)
    assert "asking: 1 of 50 machines, 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith(progress.CLEAR)


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress.progress("asking", 50) as step:
        step()
    assert terminal.getvalue() == ""


def test_a_file_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with progress.progress("asking", 50) as step:
        step()
    assert file.getvalue() == ""
