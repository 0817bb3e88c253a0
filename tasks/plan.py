"""`fab plan`: show what apply-routes would change, without changing it."""

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.session import session
from tasks.common.errors import Status, Stop


@task(klass=Command, help={"format": "table, or json for programs"})
def plan(
    c: Context,
    inventory: str = "",
    check: bool = False,
    format: str = "table",  # noqa: A002
    adopt: bool = False,
    replace: bool = False,
    prune: bool = False,
    force: bool = False,
    install: bool = False,
    only: str = "",
    limit: str = "",
    skip_unreachable: bool = False,
    persist: str = "",
    parallel: int = 0,
) -> None:
    """Show what apply-routes would change on each machine; change nothing."""
    from tasks.cli.change import plan_cluster
    from tasks.facts.providers import machine_notes
    from tasks.planning.model import Allowed
    from tasks.reports.plan import plan_json, plan_report

    if format not in ("table", "json"):
        raise Stop(f"--format {format}: choose table or json")
    planned, found = plan_cluster(
        session.fleet(c, inventory, parallel),
        Allowed(adopt, replace, prune, force, install),
        only=only,
        limit=limit,
        skip_unreachable=skip_unreachable,
        persist=persist,
    )
    notes = machine_notes(found.facts, found.cluster.pod_networks) if not found.network else []
    if format == "json":
        session.report(plan_json(planned, found.cluster, notes))
    else:
        session.report(plan_report(planned, notes))
    if planned.refused:
        raise Stop(status=Status.ERROR)
    if planned.skipped:
        raise Stop(status=Status.NOT_WHOLE)
    if check and (planned.blocked or not planned.empty):
        raise Stop(status=Status.TO_DO)
