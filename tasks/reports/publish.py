"""Where a run of verify goes: text on stdout, a page in a file; also where it ends early."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tasks.common.atomic import check_writable, replacing
from tasks.common.errors import Stop
from tasks.diagnosis.result import Verification

from .verify_changes import changes
from .verify_formats import verify_json, verify_junit
from .verify_table import verify_report

FORMATS = ("table", "json", "junit")


class Publication:
    """`with Publication(...) as published:` publishes `published.known` when the block ends.

    A table is printed of a run that came to its end only; JSON, JUnit and the page are made of
    what was known too, and say so.
    """

    def __init__(
        self,
        known: Verification,
        style: str,
        page: str,
        say: Callable[[str], None],
        before: Verification | None = None,
    ) -> None:
        """`style`: one of FORMATS; `page`: the file for the page, or empty; `say` prints a text.

        `before`: the look before this one, of which only what has changed is printed.

        Raises Stop where there is no such format, or the page could not be written.
        """
        if style not in FORMATS:
            raise Stop(f"--format {style}: choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
        self.known = known
        self._style = style
        self._page = Path(page) if page else None
        self._say = say
        self._before = before
        if self._page is not None:
            check_writable(self._page)

    def follow(self, looks: Iterable[Verification]) -> None:
        """Know what these yield, one after the other."""
        for known in looks:
            self.known = known

    def __enter__(self) -> "Publication":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._write()
            finally:
                self._print()
        elif isinstance(error, (Stop, KeyboardInterrupt)):
            self._publish_early(error)

    def _publish_early(self, error: Stop | KeyboardInterrupt) -> None:
        words = str(error.message) if isinstance(error, Stop) else "interrupted"
        self.known = replace(self.known, stopped=words)
        try:
            self._write()
            if self._page is not None:
                print(f"{self._page}: written, but not complete", file=sys.stderr)
        except Stop as stop:  # the error that ended the run is the one to end with
            print(stop.message, file=sys.stderr)
        if self._style != "table":
            self._print()

    def _write(self) -> None:
        if self._page is not None:
            from .page import verify_page

            with replacing(self._page, verify_page(self.known)):
                pass

    def _print(self) -> None:
        if self._style == "json":
            self._say(verify_json(self.known))
        elif self._style == "junit":
            self._say(verify_junit(self.known))
        elif self._before is None:
            self._say(verify_report(self.known))
        else:
            for line in changes(self._before, self.known):
                self._say(line)
