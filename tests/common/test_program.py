"""Programs on the operator's machine: all that they print is read."""

import os
import selectors
from pathlib import Path

import pytest

from tasks.common import program


def test_a_program_that_prints_and_ends_after_a_look_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its pipes and the question whether it has ended."""
    release = tmp_path / "release"

    class Late(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            ready = super().select(timeout)
            if not (ready or release.exists()):
                release.touch()
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            return ready

    monkeypatch.setattr(selectors, "DefaultSelector", Late)
    script = 'until [ -e "$1" ]; do sleep 0.01; done; echo said'
    assert program.run(["sh", "-c", script, "sh", str(release)], 30).stdout == b"said\n"
