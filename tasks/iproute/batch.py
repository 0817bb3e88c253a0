"""Lines for `ip -batch`, and what one run of it shows (ip(8): a program started costs more).

What it shows is parted by lines about the link lo, which no route looks like; the last of them
says that nothing is missing.
"""

import re
from collections.abc import Iterable

DIVIDED = "1: lo: "  # how `ip -oneline link show dev lo` begins

# What changes by itself: seconds to an expiry, and what a link without carrier does to routes.
PASSING = (" expires -*[0-9]*sec", " linkdown", " dead")
_PASSING = re.compile("|".join(PASSING))


def divided(*parts: Iterable[str]) -> list[str]:
    """The lines of all these parts, with one that shows a divider after each part."""
    return [line for part in parts for line in (*part, "link show dev lo")]


def lasting(line: str) -> str:
    """A line that was shown of a route, without what changes by itself."""
    return _PASSING.sub("", line)
