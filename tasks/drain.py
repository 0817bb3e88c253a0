"""`fab drain`: take away the routes to and on one worker, before it is deleted."""

from dataclasses import replace

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.options import CONFIRM_TIMEOUT
from tasks.cli.session import session
from tasks.common.errors import Stop


@task(
    klass=Command,
    positional=["name"],
    help={
        "name": "the worker that is to leave",
        "force": "even if the worker still answers",
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
    confirm_timeout: int = CONFIRM_TIMEOUT,
    no_ping: bool = False,
    parallel: int = 0,
) -> None:
    """Delete the routes to a worker that is to leave, and this tool's routes on it."""
    from tasks.cli.change import ChangeOptions, carry_out, check_name, network_of
    from tasks.facts.survey import survey
    from tasks.planning.drain import plan_drain
    from tasks.planning.table_rollback import plan_table_drain

    machines = session.fleet(c, inventory, parallel)
    check_name(machines, "", name)
    network = network_of(machines)
    found = survey(machines, skip_unreachable=skip_unreachable, ping_unknown=True, leaving=name)
    leaving = found.cluster.machine(name)
    if leaving.role == "worker" and not leaving.pod_cidrs:
        raise Stop(f"{name} cannot be asked for its pod CIDR: write pod_cidr in hosts.toml")
    plan = plan_drain(found.cluster, found.facts, name, force, found.skipped)
    if network:
        plan = replace(plan, network=plan_table_drain(network, leaving.pod_cidrs))
    still_listed = (
        f"now take {name} out of {machines.cluster.path}, or apply-routes adds its routes again"
    )
    carry_out(
        machines,
        plan,
        replace(found, network=network),
        ChangeOptions(dry_run, yes, confirm_timeout, no_ping, parallel),
        show=not plan.empty,
        question=f"Delete the routes to and on {name} as shown?",
        hints=[still_listed],
    )
