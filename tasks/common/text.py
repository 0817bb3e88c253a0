"""Formats text for the operator: tables, counts, lists of names."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence

MAX_ROWS = 40  # rows that a report shows in full; a longer list is shortened or counted
LEAST_WIDTH = 10  # of a column that is wrapped, in characters
MAX_LINES = 5  # lines about routes of one machine; more are counted instead


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain-text table: text aligned left, numbers aligned right, no trailing blanks.

    In a table that is wider than the terminal, the widest columns are wrapped between words.
    """
    from tabulate import tabulate

    cells = [list(map(str, row)) for row in rows]
    text = tabulate(
        cells,
        headers,
        tablefmt="simple",
        maxcolwidths=_widest_column(headers, cells),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def _widest_column(headers: Sequence[str], cells: Iterable[Sequence[str]]) -> int | None:
    """How wide a column may be for a table to fit the terminal; None if it fits as it is."""
    padded = [f"{header}  " for header in headers]  # as tabulate pads them
    widths = [max(map(len, column)) for column in zip(padded, *cells, strict=True)]
    room = width() - 2 * (len(widths) - 1)
    if sum(widths) <= room:
        return None
    fitting = (most for most in range(width(), LEAST_WIDTH, -1) if _total(widths, most) <= room)
    return next(fitting, LEAST_WIDTH)


def _total(widths: Iterable[int], most: int) -> int:
    """The sum of the widths where none is more than `most`."""
    return sum(min(one, most) for one in widths)


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
