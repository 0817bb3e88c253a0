"""`fab status`, `fab history`: counts of routes, the change that waits, and the last runs."""

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.options import RUNS_SHOWN
from tasks.cli.session import session
from tasks.common.errors import Status, Stop


@task(klass=Command)
def status(c: Context, inventory: str = "", skip_unreachable: bool = False) -> None:
    """Show how many routes of each machine are owned or displaced, and which change waits."""
    from tasks.cli.change import network_of
    from tasks.facts.survey import ask
    from tasks.reports.status import network_report, status_report

    machines = session.fleet(c, inventory)
    facts, skipped = ask(machines, skip_unreachable=skip_unreachable)
    session.report(status_report(facts, machines.cluster))
    network = network_of(machines)
    if network:
        session.report(network_report(network))
    if skipped:
        raise Stop(status=Status.NOT_WHOLE)


@task(klass=Command)
def history(
    c: Context, inventory: str = "", skip_unreachable: bool = False, number: int = RUNS_SHOWN
) -> None:
    """Show the last runs: who, when, from where, what changed, how it ended."""
    from tasks.reports.status import history_report
    from tasks.rollout.history import histories

    found = histories(session.fleet(c, inventory), skip_unreachable)
    session.report(history_report(found.entries, number))
    if found.skipped:
        raise Stop(status=Status.NOT_WHOLE)
