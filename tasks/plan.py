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
    foresee: bool = False,
) -> None:
    """Show what apply-routes would change on each machine; change nothing."""
    from tasks.cli.change import plan_cluster
    from tasks.facts.providers import machine_notes
    from tasks.planning.model import Allowed
    from tasks.reports.plan import plan_report
    from tasks.reports.plan_json import plan_json

    if foresee:
        from tasks.cli.copies import check_foresight, foreseen
        from tasks.reports.foresight import foresight_json, foresight_report

    if format not in ("table", "json"):
        raise Stop(f"--format {format}: choose table or json")
    fleet = session.fleet(c, inventory, parallel)
    if foresee:
        check_foresight(fleet.cluster)
    planned, found = plan_cluster(
        fleet,
        Allowed(adopt, replace, prune, force, install),
        only=only,
        limit=limit,
        skip_unreachable=skip_unreachable,
        persist=persist,
    )
    notes = machine_notes(found.facts, found.cluster.pod_networks) if not found.network else []
    seen = None
    if format == "table":
        session.report(plan_report(planned, notes))
    if foresee and not planned.blocked:
        seen = foreseen(fleet, planned, found, skip_unreachable=skip_unreachable)
    if format == "json":
        foresight = foresight_json(seen) if seen else None
        session.report(plan_json(planned, found.cluster, notes, foresight))
    elif seen:
        session.report(foresight_report(seen))
    if planned.refused:
        raise Stop(status=Status.ERROR)
    if foresee and not seen:
        raise Stop("--foresee: with conflicts this plan is not carried out: settle them first")
    if seen and not seen.ok:
        raise Stop(status=Status.SILENT)
    if planned.skipped:
        raise Stop(status=Status.NOT_WHOLE)
    if check and (planned.blocked or not planned.empty):
        raise Stop(status=Status.TO_DO)
