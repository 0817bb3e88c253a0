"""Text for people: tables, counts, names in a sentence."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence

MANY = 40  # rows past which adds, and what a rollback does, are counted instead of listed
FEW = 5  # routes of one machine, gone or changed, past which they are counted


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table: words to the left, numbers to the right, no trailing blanks."""
    from tabulate import tabulate

    text = tabulate([list(map(str, row)) for row in rows], list(headers), tablefmt="simple")
    return "\n".join(line.rstrip() for line in text.splitlines())


def width() -> int:
    """The columns of the terminal, 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def few(routes: Sequence[str]) -> Sequence[str]:
    """Lines about routes of one machine, or where they are many one line that counts them."""
    return routes if len(routes) <= FEW else [f"{len(routes)} routes: {routes[0]}, …"]


def wrapped(lines: Iterable[str]) -> list[str]:
    """Lines broken at the screen's width, what continues one set in; the same line once."""
    return [
        textwrap.fill(line, width(), subsequent_indent="  ", break_on_hyphens=False)
        for line in dict.fromkeys(lines)
    ]


def listed(names: Iterable[str], most: int = 3) -> str:
    """Some names in a line: the first ones, and how many more."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def first(lines: Sequence[str], most: int, more: str = "") -> list[str]:
    """Some lines: the first ones, and one that says how many more there are."""
    rest = len(lines) - most
    return [*lines[:most], f"and {rest} more{more}"] if rest > 0 else list(lines)
