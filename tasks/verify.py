"""`fab verify`: prove with pings that pods on different workers would reach each other."""

from functools import partial

from invoke import Context, task

from . import command
from .command import Command, fleet, help_for
from .exits import Status, Stop


@task(
    klass=Command,
    help={
        **help_for("inventory", "skip-unreachable"),
        "report": "write a page for the browser to this file: the pairs as a picture",
        "format": "table, json for programs, or junit for CI",
    },
)
def verify(
    c: Context,
    inventory: str = "",
    skip_unreachable: bool = False,
    report: str = "",
    format: str = "table",  # noqa: A002
) -> None:
    """Prove with pings between pod subnets that the routes work, both ways."""
    from dataclasses import replace
    from datetime import datetime, timezone

    from .examine import examine
    from .pairs import judge
    from .pinging import Unheard, ping_all
    from .publication import Publication
    from .survey import survey
    from .verification import Verification

    machines = fleet(c, inventory)
    begun = Verification(
        machines.cluster,
        datetime.now(timezone.utc),
        rehearsal=c.config.command_line.rehearsing,
    )
    with Publication(begun, format, report, partial(command.report, c)) as published:
        found = survey(machines, skip_unreachable=skip_unreachable)
        published.known = replace(begun, cluster=found.cluster, skipped=found.skipped)
        try:
            reports = ping_all(machines, found)
        except Unheard as stop:
            heard = {name: found.facts[name] for name in stop.reports}
            pairs = judge(found.cluster, heard, stop.reports)
            published.known = replace(published.known, reports=stop.reports, pairs=pairs)
            raise
        pairs = judge(found.cluster, found.facts, reports)
        published.known = replace(published.known, reports=reports, pairs=pairs)
        causes = examine(machines, found, pairs)
        published.known = replace(published.known, causes=causes)
    if not all(pair.ok for pair in pairs):
        raise Stop(status=Status.SILENT)
    if found.skipped:
        raise Stop(status=Status.NOT_WHOLE)
