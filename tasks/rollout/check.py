"""What may have a run reverted while it changes machines, such as pings that get no answer."""

from typing import Protocol


class Check(Protocol):
    """Says whether a run must be reverted. Its reasons are empty if nothing is wrong."""

    def begin(self) -> None:
        """Called when every undo is armed, before the first machine is changed."""

    @property
    def trouble(self) -> str:
        """Why the run must be reverted at once."""

    def result(self) -> str:
        """Why the run must be reverted, after all machines are changed."""

    def end(self) -> None:
        """Called after the run was kept or reverted, also where `begin` was not."""


class _NoCheck:
    """Finds nothing wrong."""

    trouble = ""

    def begin(self) -> None:
        pass

    def result(self) -> str:
        return ""

    def end(self) -> None:
        pass


NO_CHECK = _NoCheck()
