"""Removes the parts of a line of `ip route` that change by themselves."""

import re

# Regular expressions: the seconds until a route expires, and the flags of a link without carrier.
VOLATILE = (" expires -*[0-9]*sec", " linkdown", " dead")
_VOLATILE = re.compile("|".join(VOLATILE))


def without_volatile(line: str) -> str:
    """A line of `ip route` without the parts that change by themselves."""
    return _VOLATILE.sub("", line)
