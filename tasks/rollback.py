"""`fab rollback`: delete every route of ours, and put back what they displaced."""

import sys
from dataclasses import replace

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
    from tasks.facts.complete import complete
    from tasks.facts.run_order import last_run
    from tasks.facts.survey import Survey, ask
    from tasks.planning.model import Plan
    from tasks.planning.rollback import describe_last_run, plan_last, plan_rollback
    from tasks.planning.table_rollback import plan_table_rollback
    from tasks.reports.status import status_report
    from tasks.rollout.pending import drop

    machines = session.fleet(c, inventory, parallel)
    check_name(machines, "limit", limit)
    network = None if limit else network_of(machines)
    facts, skipped = ask(machines, skip_unreachable=skip_unreachable, limit=limit)
    chosen = {n: f for n, f in facts.items() if limit in ("", n)}
    waiting = {n: f for n, f in chosen.items() if f.pending}
    unfinished = network.memory.unfinished if network else frozenset()
    if last and waiting:
        if dry_run:
            session.report(status_report(waiting))
            return
        session.report(drop(machines, waiting))
        if skipped and not unfinished:
            raise Stop(status=Status.NOT_WHOLE)
        if not unfinished:
            return
    if last and unfinished:
        plan = Plan((), skipped)
    elif last:
        latest = last_run(chosen)
        plan = plan_last(machines.cluster, chosen, latest, skipped)
        if not (plan.empty or plan.blocked):
            print(describe_last_run(latest, skipped), file=sys.stderr)
    else:
        plan = plan_rollback(machines.cluster, chosen, skipped)
    cluster, mistakes = complete(machines.cluster, facts)
    if network and (unfinished or not last):
        routes = plan_table_rollback(cluster, network, unfinished if last else None)
        plan = replace(plan, network=routes)
    no_ping = no_ping or bool(mistakes)  # a wrong hosts.toml must not prevent a rollback
    carry_out(
        machines,
        plan,
        Survey(cluster, facts, skipped, network),
        ChangeOptions(dry_run, yes, confirm_timeout, no_ping, parallel),
        show=not plan.empty or bool(plan.network and plan.network.notes),
    )
