"""`fab apply-routes`: carry out the plan on every machine, all of it or nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from invoke import Context, task

from tasks.cli.command import Command, task_follows
from tasks.cli.options import CONFIRM_TIMEOUT
from tasks.cli.session import session
from tasks.common.errors import Status, Stop
from tasks.common.text import counted

if TYPE_CHECKING:
    from tasks.foresight.model import Foresight
    from tasks.inventory.model import Persist
    from tasks.planning.model import Plan


def hints(plan: "Plan", persist: "Persist", always: "Persist") -> Iterator[str]:
    """What the run leaves as it is, and what the next reboot will do to the routes.

    `persist` is what this run did; `always` is what hosts.toml says, which the next run will do.
    """
    from tasks.reports.bgp import staying

    yield from staying(plan)
    if not any(machine.changes or machine.in_sync for machine in plan.machines):
        return  # the provider's table alone leads to pods
    if persist == "none":
        yield "these routes do not survive a reboot; --persist auto makes them stay"
        return
    by_hand = sum(not route.owned for machine in plan.machines for route in machine.in_sync)
    if by_hand:
        foreign = counted(by_hand, "foreign route")
        yield f"{foreign} in sync, and in no boot file: --adopt makes them this tool's"
    if always == "none":
        yield 'set persist = "auto" in hosts.toml, [cluster]: else the next run removes the files'


def question(plan: "Plan") -> str:
    """What is asked before a plan that does more than to add routes."""
    if any(machine.bird for machine in plan.machines):
        return "Change routes and BIRD as shown?"
    return "Replace and delete as shown?"


def _check_lost(seen: "Foresight") -> None:
    """Report what was foreseen. Raise Stop where pairs that answer now would not."""
    from tasks.reports.foresight import foresight_report

    session.report(foresight_report(seen))
    if seen.lost:
        raise Stop("refused, for what was foreseen: nothing was changed anywhere")


@task(klass=Command)
def apply_routes(
    c: Context,
    inventory: str = "",
    adopt: bool = False,
    replace: bool = False,
    prune: bool = False,
    force: bool = False,
    install: bool = False,
    only: str = "",
    limit: str = "",
    skip_unreachable: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    confirm_timeout: int = CONFIRM_TIMEOUT,
    no_ping: bool = False,
    hold: bool = False,
    persist: str = "",
    parallel: int = 0,
    foresee: bool = False,
) -> None:
    """Give every machine its routes to the other workers' pod CIDRs."""
    from tasks.cli.change import ChangeOptions, carry_out, plan_cluster
    from tasks.planning.model import Allowed

    if foresee:
        from tasks.cli.copies import check_foresight, foreseen
    machines = session.fleet(c, inventory, parallel)
    if foresee:
        check_foresight(machines.cluster)
    plan, found = plan_cluster(
        machines,
        Allowed(adopt, replace, prune, force, install),
        only=only,
        limit=limit,
        skip_unreachable=skip_unreachable,
        persist=persist,
        pings=not (no_ping or dry_run),
    )
    if foresee and not (plan.blocked or plan.empty):
        _check_lost(foreseen(machines, plan, found, skip_unreachable=skip_unreachable))
    silent = carry_out(
        machines,
        plan,
        found,
        ChangeOptions(dry_run, yes, confirm_timeout, no_ping, parallel, hold),
        show=not plan.only_adds,
        question=question(plan),
        hints=hints(plan, found.cluster.persist, machines.cluster.persist),
    )
    if silent and not task_follows("verify", after="apply-routes"):  # verify ends with this status
        raise Stop(status=Status.SILENT)
