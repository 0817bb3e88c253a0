"""`fab rollback`: take back every route of ours, and put back what was displaced."""

from invoke import Context, task

from .command import Command, fleet, help_for, report
from .exits import Status, Stop


@task(
    klass=Command,
    help=help_for("inventory", "limit", "skip-unreachable", "dry-run", "yes"),
)
def rollback(
    c: Context,
    inventory: str = "",
    limit: str = "",
    skip_unreachable: bool = False,
    dry_run: bool = False,
    yes: bool = False,
) -> None:
    """Delete our routes everywhere and put back what they displaced; does not ask."""
    from .changes import limited, plan_rollback
    from .planning import check_name
    from .rollout import roll_out
    from .steps import forget
    from .survey import ask
    from .tables import dry_run_report, rollout_report

    machines = fleet(c, inventory)
    check_name(machines, "limit", limit)
    facts, skipped = ask(machines, skip_unreachable=skip_unreachable, limit=limit)
    plan = plan_rollback(machines.cluster, facts, skipped)
    plan = limited(plan, limit) if limit else plan
    if dry_run:
        report(c, dry_run_report(plan))
        return
    rollout = roll_out(machines, plan, facts)
    report(c, rollout_report(plan, rollout))
    if not rollout.whole:
        raise Stop(status=rollout.status)
    machines.ask({m.name: forget(m.forgets) for m in plan.machines if m.forgets})
    if plan.skipped:
        raise Stop(status=Status.NOT_WHOLE)
