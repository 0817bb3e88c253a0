"""The one way from the machines to a change: ask, plan, show, confirm, roll out, report."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import get_args

from tasks.cli.bgp import install_bird, keep_password, with_password
from tasks.cli.session import session
from tasks.common.errors import Status, Stop
from tasks.common.terminal import confirm_prompt
from tasks.common.text import listed
from tasks.connectivity.sample import Pairs
from tasks.facts.model import Facts
from tasks.facts.run_order import last_runs
from tasks.facts.survey import Survey, survey
from tasks.inventory.model import Persist
from tasks.networks.memory import alone
from tasks.networks.provider import provider_of
from tasks.networks.state import NetworkState, read_state
from tasks.planning.model import Allowed, Plan
from tasks.planning.provider_table import plan_table
from tasks.planning.reconcile import plan_routes
from tasks.reports.plan import dry_run_report, plan_report
from tasks.reports.rollout import rollout_report
from tasks.rollout.check import NO_CHECK
from tasks.rollout.ping_check import PairCheck
from tasks.rollout.provider_table import TableRun
from tasks.rollout.transaction import roll_out
from tasks.ssh.fleet import Fleet
from tasks.undo.run import Run, new_run


@dataclass(frozen=True)
class ChangeOptions:
    """The flags that every task that changes machines has."""

    dry_run: bool
    yes: bool
    confirm_timeout: int  # seconds
    no_ping: bool
    parallel: int  # machines changed at a time; 0: one
    hold: bool = False


def plan_cluster(
    fleet: Fleet,
    allowed: Allowed,
    *,
    only: str = "",
    limit: str = "",
    skip_unreachable: bool,
    persist: str = "",
    pings: bool = False,
) -> tuple[Plan, Survey]:
    """Ask the machines and plan on their answers; `persist` overrides what hosts.toml says.

    `pings`: whether pods will be pinged.

    Raises Stop where a machine cannot be asked or disagrees with hosts.toml.
    """
    check_name(fleet, "only", only)
    check_name(fleet, "limit", limit)
    modes = [mode for mode in get_args(Persist) if mode == persist]
    if persist and not modes:
        raise Stop(f"--persist {persist}: choose {' or '.join(get_args(Persist))}")
    network = network_of(fleet)
    found = survey(
        fleet,
        skip_unreachable=skip_unreachable,
        limit=limit,
        ping_unknown=allowed.prune,
        pings=pings,
    )
    if modes:
        found = replace(found, cluster=replace(found.cluster, persist=modes[0]))
    cluster = with_password(fleet, found.cluster, found.facts)
    found = replace(found, cluster=cluster, network=network)
    table = network.table if network else None
    plan = plan_routes(found.cluster, found.facts, allowed, only, found.skipped, limit, table)
    if network and (not (only and limit) or only == limit):
        routes = plan_table(found.cluster, network, allowed, only or limit, found.skipped)
        plan = replace(plan, network=routes)
    return plan, found


def network_of(fleet: Fleet) -> NetworkState | None:
    """The provider's network as it is now; None if hosts.toml names none.

    Raises Stop if its provider cannot be asked.
    """
    where = fleet.cluster.network
    return read_state(where, fleet.patience) if where else None


def carry_out(
    fleet: Fleet,
    plan: Plan,
    found: Survey,
    options: ChangeOptions,
    *,
    show: bool,
    question: str = "",
    hints: Iterable[str] = (),
) -> Pairs:
    """Roll out a plan and report it; returns the pairs of workers whose pods are still silent.

    With `show`, the plan is printed first, and the `question` asked, if there is one. The `hints`
    are printed on stderr after a rollout that succeeded everywhere. A dry run prints the commands
    and changes nothing. Raises Stop if the plan must not be carried out, if the answer is no, and
    where the exit status is not 0: a failed rollout, or skipped machines.
    """
    if plan.blocked:
        session.report(plan_report(plan))
        raise Stop("refused: nothing was changed anywhere")
    if options.hold and plan.network and not plan.network.empty:
        _check_hold(plan)
    if options.dry_run:
        session.report(dry_run_report(plan))
        return frozenset()
    if show:
        session.report(plan_report(plan))
        if question:
            confirm_prompt(question, options.yes)
    unseen = [m.name for m in plan.machines if not m.empty and not found.facts[m.name].client]
    if unseen:
        print(
            f"{listed(unseen)}: sshd there does not say from where you are logged in. If the change"
            " cuts you off, it takes itself back after its deadline",
            file=sys.stderr,
        )
    keep_password(found.cluster)
    install_bird(fleet, plan)
    check = None if options.no_ping or plan.empty else PairCheck(fleet, found, plan)
    run = new_run(fleet.cluster.pod_networks, options.confirm_timeout)
    at_once = options.parallel or 1
    with ExitStack() as held:
        if plan.network:
            held.enter_context(alone(fleet.cluster.path))
        rollout = roll_out(
            fleet,
            plan,
            found.facts,
            run,
            check or NO_CHECK,
            options.hold,
            at_once,
            _table_run(fleet, plan, run, found.facts),
        )
    silent = check.silent if check and rollout.whole else frozenset()
    if rollout.whole:
        for hint in hints:
            print(hint, file=sys.stderr)
    session.report(rollout_report(plan, rollout, silent, check.loss if check else None))
    if not rollout.whole:
        raise Stop(status=rollout.status)
    if plan.skipped:
        raise Stop(status=Status.NOT_WHOLE)
    return silent


def _check_hold(plan: Plan) -> None:
    """Raise Stop if a change of the provider's table cannot wait for `fab confirm`."""
    if plan.network and plan.network.last:
        raise Stop("--hold: routes of the network cannot be deleted later: leave out --prune first")
    if all(machine.empty for machine in plan.machines):
        raise Stop("--hold: only the network is changed, and no machine that could go back")


def _table_run(fleet: Fleet, plan: Plan, run: Run, facts: Mapping[str, Facts]) -> TableRun | None:
    """The run's part in the provider's table; None if the plan has none."""
    where = fleet.cluster.network
    if where is None or plan.network is None:
        return None
    only_table = all(machine.empty for machine in plan.machines)
    seen = frozenset(last_runs(facts)) if only_table else None
    return TableRun(where, partial(provider_of, where, fleet.patience), plan.network, run.id, seen)


def check_name(fleet: Fleet, flag: str, name: str) -> None:
    """Raise Stop if hosts.toml has no machine of this name; without a flag it is an argument."""
    names = [machine.name for machine in fleet.cluster.machines]
    if name and name not in names:
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:20])}"
        given = f"--{flag} {name}" if flag else name
        raise Stop(f"{given}: no such machine in {fleet.cluster.path}; {hint}")
