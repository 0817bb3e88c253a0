"""`fab apply-routes`: carry out the plan, machine by machine, all of it or nothing."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from invoke import Context, task

from tasks.cli.command import Command, comes_later, fleet, help_for, report
from tasks.common.errors import Status, Stop

if TYPE_CHECKING:
    from tasks.inventory.model import Persist
    from tasks.planning.model import Plan


def hints(plan: "Plan", persist: "Persist", always: "Persist") -> Iterator[str]:
    """What to know of the next reboot: of this run, and of what hosts.toml says for the next."""
    if persist == "none":
        yield "these routes do not survive a reboot; --persist auto makes them stay"
        return
    by_hand = sum(not route.owned for machine in plan.machines for route in machine.in_sync)
    if by_hand:
        yield f"not ours, and in no file of ours: {by_hand} of the routes; --adopt makes them ours"
    if always == "none":
        yield 'set persist = "auto" in hosts.toml, [cluster]: else the next run removes the files'


@task(
    klass=Command,
    help={
        **help_for("inventory", "adopt", "replace", "prune", "force", "only", "limit"),
        **help_for("skip-unreachable", "dry-run", "yes", "confirm-timeout", "no-ping", "persist"),
        **help_for("parallel"),
        "hold": "leave the change armed: `fab confirm` keeps it, `fab rollback --last` drops it",
    },
)
def apply_routes(
    c: Context,
    inventory: str = "",
    adopt: bool = False,
    replace: bool = False,
    prune: bool = False,
    force: bool = False,
    only: str = "",
    limit: str = "",
    skip_unreachable: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    confirm_timeout: int = 60,
    no_ping: bool = False,
    hold: bool = False,
    persist: str = "",
    parallel: int = 0,
) -> None:
    """Give every machine its routes to the other workers' pod CIDRs."""
    from tasks.cli.change import check_timeout, plan_cluster
    from tasks.common.terminal import agree
    from tasks.planning.model import Allowed
    from tasks.reports.plan import dry_run_report, plan_report
    from tasks.reports.rollout import rollout_report
    from tasks.rollout.ping_check import PairCheck
    from tasks.rollout.transaction import roll_out
    from tasks.undo.run import new_run

    check_timeout(confirm_timeout)
    machines = fleet(c, inventory, parallel)
    plan, found = plan_cluster(
        machines,
        Allowed(adopt, replace, prune, force),
        only=only,
        limit=limit,
        skip_unreachable=skip_unreachable,
        persist=persist,
    )
    if plan.blocked:
        report(c, plan_report(plan))
        raise Stop("refused: nothing was changed anywhere")
    if dry_run:
        report(c, dry_run_report(plan))
        return
    if not plan.only_adds:
        report(c, plan_report(plan))
        agree("Replace and delete as shown?", yes)
    check = None if no_ping or plan.empty else PairCheck(machines, found, plan)
    run = new_run(machines.cluster.pod_networks, confirm_timeout)
    rollout = roll_out(machines, plan, found.facts, run, check, hold, parallel or 1)
    silent = check.silent if check else frozenset()
    if rollout.whole:
        for hint in hints(plan, found.cluster.persist, machines.cluster.persist):
            print(hint, file=sys.stderr)
    report(c, rollout_report(plan, rollout, silent))
    if not rollout.whole:
        raise Stop(status=rollout.status)
    if plan.skipped:
        raise Stop(status=Status.NOT_WHOLE)
    if silent and not comes_later("verify", after="apply-routes"):  # which says why, and so ends
        raise Stop(status=Status.SILENT)
