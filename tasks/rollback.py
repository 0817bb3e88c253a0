"""`fab rollback`: take back every route of ours, and put back what was displaced."""

import sys

from invoke import Context, task

from tasks.cli.command import Command, fleet, help_for, report
from tasks.common.errors import Status, Stop


@task(
    klass=Command,
    help={
        **help_for("inventory", "limit", "skip-unreachable", "dry-run", "confirm-timeout"),
        **help_for("no-ping", "parallel"),
        "yes": "as elsewhere; rollback does not ask",
        "last": "only the last run that changed something, or what waits for confirmation",
    },
)
def rollback(
    c: Context,
    inventory: str = "",
    limit: str = "",
    skip_unreachable: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    confirm_timeout: int = 60,
    last: bool = False,
    no_ping: bool = False,
    parallel: int = 0,
) -> None:
    """Delete our routes everywhere and put back what they displaced; does not ask."""
    from tasks.cli.change import check_name, check_timeout
    from tasks.facts.complete import complete
    from tasks.facts.run_order import last_run
    from tasks.facts.survey import Survey, ask
    from tasks.planning.rollback import describe_last_run, plan_last, plan_rollback
    from tasks.reports.plan import dry_run_report, plan_report
    from tasks.reports.rollout import rollout_report
    from tasks.reports.status import status_report
    from tasks.rollout.pending import drop
    from tasks.rollout.ping_check import PairCheck
    from tasks.rollout.transaction import roll_out
    from tasks.undo.run import new_run

    check_timeout(confirm_timeout)
    machines = fleet(c, inventory, parallel)
    check_name(machines, "limit", limit)
    facts, skipped = ask(machines, skip_unreachable=skip_unreachable, limit=limit)
    chosen = {n: f for n, f in facts.items() if limit in ("", n)}
    waiting = {n: f for n, f in chosen.items() if f.pending}
    if last and waiting:
        if dry_run:
            report(c, status_report(waiting))
            return
        report(c, drop(machines, waiting))
        if skipped:
            raise Stop(status=Status.NOT_WHOLE)
        return
    latest = last_run(chosen) if last else ""
    if last:
        plan = plan_last(machines.cluster, chosen, latest, skipped)
    else:
        plan = plan_rollback(machines.cluster, chosen, skipped)
    if plan.refused:
        report(c, plan_report(plan))
        raise Stop("refused: nothing was changed anywhere")
    if last and not plan.empty:
        print(describe_last_run(latest, skipped), file=sys.stderr)
    if dry_run:
        report(c, dry_run_report(plan))
        return
    if not plan.empty:
        report(c, plan_report(plan))
    run = new_run(machines.cluster.pod_networks, confirm_timeout)
    cluster, mistakes = complete(machines.cluster, facts)
    pinged = not (
        no_ping or plan.empty or mistakes
    )  # a wrong hosts.toml keeps nobody from going back
    check = PairCheck(machines, Survey(cluster, facts, skipped), plan) if pinged else None
    rollout = roll_out(machines, plan, facts, run, check, at_once=parallel or 1)
    report(c, rollout_report(plan, rollout, check.silent if check else ()))
    if not rollout.whole:
        raise Stop(status=rollout.status)
    if plan.skipped:
        raise Stop(status=Status.NOT_WHOLE)
