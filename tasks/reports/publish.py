"""Where the result of verify goes: text on stdout, a page in a file; also after an early end."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.common.atomic import check_writable, replacing
from tasks.common.errors import Stop
from tasks.diagnosis.result import Verification

from .verify_changes import changes
from .verify_formats import verify_json, verify_junit
from .verify_table import verify_report

FORMATS = ("table", "json", "junit")


@dataclass(frozen=True)
class Output:
    """Where to publish, and how."""

    style: str  # one of FORMATS
    page: str  # the page's file; empty for no page
    say: Callable[[str], None]  # prints a text
    before: Verification | None = None  # the run before: then only changes since it are printed


def publish(runs: Iterable[Verification], output: Output) -> Verification:
    """Publish the last of these states of one run, and return it.

    Where the run ends early, what was known by then is published as JSON, JUnit or the page, marked
    as not complete; a table is not printed. The error that ended the run is raised again.

    Raises Stop where the format does not exist, or the page cannot be written; then no state of the
    run is asked for.
    """
    if output.style not in FORMATS:
        raise Stop(f"--format {output.style}: choose {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if output.page:
        check_writable(Path(output.page))
    states = iter(runs)
    known = next(states)
    try:
        for state in states:
            known = state
    except (Stop, KeyboardInterrupt) as error:
        _publish_early(known, error, output)
        raise
    try:
        _write(known, output)
    finally:
        _print(known, output)
    return known


def _publish_early(known: Verification, error: Stop | KeyboardInterrupt, output: Output) -> None:
    """Publish what was known when an error ended the run."""
    words = str(error.message) if isinstance(error, Stop) else "interrupted"
    known = replace(known, stopped=words)
    try:
        _write(known, output)
        if output.page:
            print(f"{output.page}: written, but not complete", file=sys.stderr)
    except Stop as stop:  # printed only: the error that ended the run is raised
        print(stop.message, file=sys.stderr)
    if output.style != "table":
        _print(known, output)


def _write(known: Verification, output: Output) -> None:
    """Write the page, where one is wanted."""
    if output.page:
        from .page import verify_page

        with replacing(Path(output.page), verify_page(known)):
            pass


def _print(known: Verification, output: Output) -> None:
    """Print the result, or what has changed since the run before."""
    if output.style == "json":
        output.say(verify_json(known))
    elif output.style == "junit":
        output.say(verify_junit(known))
    elif output.before is None:
        output.say(verify_report(known))
    else:
        for line in changes(output.before, known):
            output.say(line)
