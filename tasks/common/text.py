"""Formats text for the operator: tables, counts, lists of names."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence

MAX_ROWS = 40  # rows that a report shows in full; a longer list is shortened or counted
MAX_LINES = 5  # lines about routes of one machine; more are counted instead


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain-text table: text aligned left, numbers aligned right, no trailing blanks."""
    from tabulate import tabulate

    text = tabulate([list(map(str, row)) for row in rows], list(headers), tablefmt="simple")
    return "\n".join(line.rstrip() for line in text.splitlines())


def width() -> int:
    """The width of the terminal in columns; 80 if there is no terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def counted(number: int, noun: str) -> str:
    """A number and its noun, such as "1 route" or "2 routes"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def few(routes: Sequence[str]) -> Sequence[str]:
    """The lines about routes of one machine; above MAX_LINES, one line with their count."""
    return routes if len(routes) <= MAX_LINES else [f"{len(routes)} routes: {routes[0]}, …"]


def wrapped(lines: Iterable[str]) -> list[str]:
    """The lines wrapped at the terminal's width, without duplicates.

    Continuation lines are indented by two spaces.
    """
    return [
        textwrap.fill(line, width(), subsequent_indent="  ", break_on_hyphens=False)
        for line in dict.fromkeys(lines)
    ]


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first `most` distinct names, separated by commas, and how many more there are."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def first(lines: Sequence[str], most: int, more: str = "") -> list[str]:
    """The first `most` lines, then one line that counts the rest, if any, and ends with `more`."""
    rest = len(lines) - most
    return [*lines[:most], f"and {rest} more{more}"] if rest > 0 else list(lines)
