"""The parts of what `ip` shows of a route that change by themselves."""

import re

# What changes by itself: seconds to an expiry, and what a link without carrier does to routes.
PASSING = (" expires -*[0-9]*sec", " linkdown", " dead")
_PASSING = re.compile("|".join(PASSING))


def lasting(line: str) -> str:
    """A line that was shown of a route, without what changes by itself."""
    return _PASSING.sub("", line)
