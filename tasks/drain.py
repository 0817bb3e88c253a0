"""`fab drain`: take away the routes to and on one worker, before it is deleted."""

import sys

from invoke import Context, task

from tasks.cli.command import Command, fleet, help_for, report
from tasks.common.errors import Status, Stop


@task(
    klass=Command,
    positional=["name"],
    help={
        **help_for("inventory", "skip-unreachable", "dry-run", "yes", "confirm-timeout", "no-ping"),
        **help_for("parallel"),
        "name": "the worker that is to leave",
        "force": "even where the worker still answers",
    },
)
def drain(
    c: Context,
    name: str,
    inventory: str = "",
    force: bool = False,
    skip_unreachable: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    confirm_timeout: int = 60,
    no_ping: bool = False,
    parallel: int = 0,
) -> None:
    """Take away the routes to and on a worker that is to leave the cluster."""
    from tasks.cli.change import check_name, check_timeout
    from tasks.common.terminal import confirm_prompt
    from tasks.facts.survey import survey
    from tasks.planning.drain import plan_drain
    from tasks.reports.plan import dry_run_report, plan_report
    from tasks.reports.rollout import rollout_report
    from tasks.rollout.ping_check import PairCheck
    from tasks.rollout.transaction import roll_out
    from tasks.undo.run import new_run

    check_timeout(confirm_timeout)
    machines = fleet(c, inventory, parallel)
    check_name(machines, "", name)
    found = survey(machines, skip_unreachable=skip_unreachable, strangers=True, leaving=name)
    leaving = found.cluster.machine(name)
    if leaving.role == "worker" and not leaving.pod_cidrs:
        raise Stop(f"{name} cannot be asked for its pod CIDR: write pod_cidr in hosts.toml")
    plan = plan_drain(found.cluster, found.facts, name, force, found.skipped)
    if plan.refused:
        report(c, plan_report(plan))
        raise Stop("refused: nothing was changed anywhere")
    if dry_run:
        report(c, dry_run_report(plan))
        return
    if not plan.empty:
        report(c, plan_report(plan))
        confirm_prompt(f"Delete the routes to and on {name} as shown?", yes)
    check = None if no_ping or plan.empty else PairCheck(machines, found, plan)
    run = new_run(machines.cluster.pod_networks, confirm_timeout)
    rollout = roll_out(machines, plan, found.facts, run, check, at_once=parallel or 1)
    report(c, rollout_report(plan, rollout, check.silent if check else ()))
    if not rollout.whole:
        raise Stop(status=rollout.status)
    print(
        f"now take {name} out of {machines.cluster.path}: until then apply-routes would bring"
        " its routes back",
        file=sys.stderr,
    )
    if plan.skipped:
        raise Stop(status=Status.NOT_WHOLE)
