"""`fab verify`: prove with pings that pods on different workers would reach each other."""

from functools import partial

from invoke import Context, task

from . import command
from .command import Command, fleet, help_for
from .exits import Status, Stop

_HELP = {
    "report": "write a page for the browser to this file: the pairs as a picture",
    "format": "table, json for programs, or junit for CI",
    "tcp": "connect to this TCP port instead of pinging, where ICMP is closed",
    "sample": "so many peers for each machine (default: all, past 64 machines 8)",
    "seed": "which sample: the same number chooses the same pairs",
    "full": "all pairs, however many machines there are",
}


@task(klass=Command, help={**help_for("inventory", "skip-unreachable"), **_HELP})
def verify(
    c: Context,
    inventory: str = "",
    skip_unreachable: bool = False,
    report: str = "",
    format: str = "table",  # noqa: A002
    tcp: int = 0,
    sample: int = 0,
    seed: int = 0,
    full: bool = False,
) -> None:
    """Prove with pings between pod subnets that the routes work, both ways."""
    from datetime import datetime, timezone

    from .looking import Wish, look
    from .publication import Publication
    from .verification import Verification

    if not 0 <= tcp < 65536 or sample < 0:
        raise Stop(f"--{'sample' if sample < 0 else 'tcp'}: not a number that makes sense here")
    machines = fleet(c, inventory)
    wish = Wish(skip_unreachable, tcp, sample, seed or datetime.now().microsecond, full)
    begun = Verification(
        machines.cluster,
        datetime.now(timezone.utc),
        rehearsal=c.config.command_line.rehearsing,
    )
    with Publication(begun, format, report, partial(command.report, c)) as published:
        look(machines, wish, published)
    if not all(pair.ok for pair in published.known.pairs):
        raise Stop(status=Status.SILENT)
    if published.known.skipped:
        raise Stop(status=Status.NOT_WHOLE)
