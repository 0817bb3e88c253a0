"""`fab confirm`: keep the change that waits."""

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.session import session
from tasks.common.errors import Status, Stop


@task(klass=Command)
def confirm(c: Context, inventory: str = "", skip_unreachable: bool = False) -> None:
    """Keep the change that `apply-routes --hold` left armed."""
    from tasks.facts.survey import ask
    from tasks.networks.memory import confirm_unfinished
    from tasks.rollout.history import ending_of_the_last
    from tasks.rollout.pending import keep

    machines = session.fleet(c, inventory)
    facts, skipped = ask(machines, skip_unreachable=skip_unreachable)
    if not any(found.pending for found in facts.values()):
        raise Stop(f"there is nothing to confirm: {ending_of_the_last(machines)}")
    session.report(keep(machines, facts, skipped))
    if machines.cluster.network:
        confirm_unfinished(machines.cluster.network)
    if skipped:
        raise Stop(status=Status.NOT_WHOLE)
