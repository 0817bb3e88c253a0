"""Names in a sentence."""

from collections.abc import Iterable


def listed(names: Iterable[str], most: int = 3) -> str:
    """Some names in a line: the first ones, and how many more."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
