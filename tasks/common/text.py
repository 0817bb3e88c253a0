"""Names in a sentence, and commands that a person is to type."""

import re
from collections.abc import Iterable, Sequence


def listed(names: Iterable[str], most: int = 3) -> str:
    """Some names in a line: the first ones, and how many more."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def first(lines: Sequence[str], most: int, more: str = "") -> list[str]:
    """Some lines: the first ones, and one that says how many more there are."""
    rest = len(lines) - most
    return [*lines[:most], f"and {rest} more{more}"] if rest > 0 else list(lines)


def typed_on(where: str, *commands: str) -> str:
    """Commands to be typed on a machine, in one line: `on worker-1: ip link set cnio0 up; …`."""
    return f"on {where}: {'; '.join(commands)}"


def commands_in(text: str) -> tuple[str, list[str]]:
    """What `typed_on` has made, taken apart: where, and the commands; none in other text."""
    found = re.match(r"on ([^:]+): (.*)", text)
    return (found[1], found[2].split("; ")) if found else ("", [])
