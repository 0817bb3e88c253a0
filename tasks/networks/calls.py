"""Runs a provider's own program. It tries again while the API is busy, and explains errors."""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import sleep
from typing import TypeVar

from tasks.common.errors import Stop
from tasks.common.provider_cli import TIMEOUT, Failed, output_of, parsed

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before each further try: a minute in all

_T = TypeVar("_T")


@dataclass(frozen=True)
class Program:
    """A provider's program, and what its error texts mean.

    `busy`: matches the errors that pass by themselves. `troubles`: for other errors, what to do,
    by a pattern of the text; the first that matches counts.
    """

    name: str
    key: str  # the environment variable with its API key
    missing: str  # what to do if it is not installed
    busy: re.Pattern[str]
    troubles: Sequence[tuple[str, str]]

    def explained(self, words: str) -> str:
        """What the program says, and what to do about it."""
        for pattern, advice in self.troubles:
            if re.search(pattern, words):
                return f"{words}: {advice}"
        return words


class Calls:
    """Calls of one program for one network. `seconds`: how long one may take; None: a minute.

    `ended` says whether the operator has interrupted: then nothing is tried again.
    """

    def __init__(
        self,
        program: Program,
        network: str,
        seconds: float | None = None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self._program = program
        self._network = network
        self._seconds = seconds or TIMEOUT
        self._ended = ended

    def ask(self, shape: type[_T], *arguments: str) -> _T:
        """The JSON that a command prints. Raises Stop with one line if there is none."""
        text = self.run(*arguments)
        try:
            return parsed(self._program.name, shape, text)
        except Stop as stop:
            raise self._stop(str(stop)) from None

    def run(self, *arguments: str) -> bytes:
        """Run a command to its end. Raises Stop with one line if it fails.

        After a failure the change may have been made all the same: read the table again.
        """
        program = self._program
        for wait in (*WAITS, None):
            argv = (program.name, *arguments)
            try:
                return output_of(argv, self._seconds, program.key, program.missing)
            except Failed as failed:
                words = str(failed)
                if wait is None or not program.busy.search(words) or self._ended():
                    raise self._stop(program.explained(words)) from None
                self._say(f"{words}; trying again in {wait:g} s")
                sleep(wait)
            except Stop as stop:
                raise self._stop(str(stop)) from None
        raise AssertionError("the last try returns or raises")

    def _stop(self, words: str) -> Stop:
        return Stop(f"network {self._network}: {words}")

    def _say(self, words: str) -> None:
        print(f"network {self._network}: {words}", file=sys.stderr, flush=True)
