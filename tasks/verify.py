"""`fab verify`: prove with pings that pods on different workers would reach each other."""

from invoke import Context, task

from .command import Command, fleet, help_for, report
from .exits import Status, Stop


@task(klass=Command, help=help_for("inventory", "skip-unreachable"))
def verify(c: Context, inventory: str = "", skip_unreachable: bool = False) -> None:
    """Prove with pings between pod subnets that the routes work, both ways."""
    from .examine import examine
    from .matrix import verify_report
    from .pairs import judge
    from .pinging import ping_all
    from .survey import survey

    machines = fleet(c, inventory)
    found = survey(machines, skip_unreachable=skip_unreachable)
    reports = ping_all(machines, found)
    pairs = judge(found.cluster, found.facts, reports)
    causes = examine(machines, found, pairs)
    report(c, verify_report(pairs, causes, reports, found.skipped))
    if not all(pair.ok for pair in pairs):
        raise Stop(status=Status.SILENT)
    if found.skipped:
        raise Stop(status=Status.NOT_WHOLE)
