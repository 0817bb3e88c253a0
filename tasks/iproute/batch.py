"""Removes the parts of a line of `ip route` that change by themselves."""

import re

# Regular expressions: the seconds until a route expires, and the flags of a link without carrier.
PASSING = (" expires -*[0-9]*sec", " linkdown", " dead")
_PASSING = re.compile("|".join(PASSING))


def lasting(line: str) -> str:
    """A line of `ip route` without the parts that change by themselves."""
    return _PASSING.sub("", line)
