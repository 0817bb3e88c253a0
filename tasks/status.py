"""`fab status`, `fab history`: what is owned, what waits, and what has happened."""

from invoke import Context, task

from tasks.cli.command import Command, fleet, help_for, report
from tasks.common.errors import Status, Stop


@task(klass=Command, help=help_for("inventory", "skip-unreachable"))
def status(c: Context, inventory: str = "", skip_unreachable: bool = False) -> None:
    """Show per machine what is owned, and what waits for confirmation until when."""
    from tasks.facts.survey import ask
    from tasks.reports.status import status_report

    facts, skipped = ask(fleet(c, inventory), skip_unreachable=skip_unreachable)
    report(c, status_report(facts))
    if skipped:
        raise Stop(status=Status.NOT_WHOLE)


@task(
    klass=Command,
    help={
        **help_for("inventory", "skip-unreachable"),
        "number": "how many runs of each machine (default: 20)",
    },
)
def history(
    c: Context, inventory: str = "", skip_unreachable: bool = False, number: int = 20
) -> None:
    """Show the last runs: who, when, from where, what changed, how it ended."""
    from tasks.reports.status import history_report
    from tasks.rollout.history import histories

    if number < 1:
        raise Stop(f"--number {number}: choose 1 or more")
    found = histories(fleet(c, inventory), skip_unreachable)
    report(c, history_report(found.entries, number))
    if found.skipped:
        raise Stop(status=Status.NOT_WHOLE)
