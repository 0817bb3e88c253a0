"""`fab rollback`: delete every route of ours, and put back what they displaced."""

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.options import CONFIRM_TIMEOUT
from tasks.cli.session import session
from tasks.common.errors import Status, Stop


@task(klass=Command, help={"yes": "accepted as elsewhere: rollback never asks"})
def rollback(
    c: Context,
    inventory: str = "",
    limit: str = "",
    skip_unreachable: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    confirm_timeout: int = CONFIRM_TIMEOUT,
    last: bool = False,
    no_ping: bool = False,
    parallel: int = 0,
) -> None:
    """Delete this tool's routes everywhere and put back what they displaced; does not ask."""
    from tasks.cli.change import ChangeOptions, carry_out, check_name, network_of
    from tasks.cli.taking_back import plan_of_last, plan_unfinished, plan_whole
    from tasks.facts.complete import complete
    from tasks.facts.survey import Survey, ask
    from tasks.reports.status import status_report
    from tasks.rollout.pending import drop

    machines = session.fleet(c, inventory, parallel)
    check_name(machines, "limit", limit)
    network = network_of(machines)
    facts, skipped = ask(machines, skip_unreachable=skip_unreachable, limit=limit)
    cluster, mistakes = complete(machines.cluster, facts)
    found = Survey(cluster, facts, skipped, network)
    waiting = {n: f for n, f in facts.items() if f.pending and limit in ("", n)}
    unfinished = plan_unfinished(found, limit) if last else None
    if last and waiting:
        if dry_run:
            session.report(status_report(waiting, machines.cluster))
            return
        session.report(drop(machines, waiting))
        if skipped and not unfinished:
            raise Stop(status=Status.NOT_WHOLE)
        if not unfinished:
            return
    plan = unfinished or (plan_of_last(found, limit) if last else plan_whole(found, limit))
    no_ping = no_ping or bool(mistakes)  # a wrong hosts.toml must not prevent a rollback
    ended = any(machine.bird and not machine.bird.conf for machine in plan.machines)
    carry_out(
        machines,
        plan,
        found,
        ChangeOptions(dry_run, yes, confirm_timeout, no_ping, parallel),
        show=not plan.empty or bool(plan.network and plan.network.notes),
        hints=["BIRD stays installed: this tool removes no package"] * ended,
    )
