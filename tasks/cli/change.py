"""From the machines to a plan: ask them, complete the cluster, plan. One way for every verb."""

from dataclasses import replace
from difflib import get_close_matches
from typing import get_args

from tasks.common.errors import Stop
from tasks.facts.survey import Survey, survey
from tasks.inventory.model import Persist
from tasks.planning.model import Allowed, Plan, limited
from tasks.planning.reconcile import plan_routes
from tasks.ssh.fleet import Fleet


def plan_cluster(
    fleet: Fleet,
    allowed: Allowed,
    *,
    only: str = "",
    limit: str = "",
    skip_unreachable: bool,
    persist: str = "",
) -> tuple[Plan, Survey]:
    """Ask the machines and plan on their answers; `persist` overrides what hosts.toml says.

    Raises Stop where a machine cannot be asked or disagrees with hosts.toml.
    """
    check_name(fleet, "only", only)
    check_name(fleet, "limit", limit)
    modes = [mode for mode in get_args(Persist) if mode == persist]
    if persist and not modes:
        raise Stop(f"--persist {persist}: choose {' or '.join(get_args(Persist))}")
    found = survey(fleet, skip_unreachable=skip_unreachable, limit=limit, strangers=allowed.prune)
    if modes:
        found = replace(found, cluster=replace(found.cluster, persist=modes[0]))
    plan = plan_routes(found.cluster, found.facts, allowed, only, found.skipped)
    return (limited(plan, limit) if limit else plan), found


def check_timeout(seconds: int) -> None:
    """Stop where a confirm timeout leaves no time to confirm, or a change armed for long."""
    if not 5 <= seconds <= 3600:
        raise Stop(f"--confirm-timeout {seconds}: choose from 5 to 3600 seconds")


def check_name(fleet: Fleet, flag: str, name: str) -> None:
    """Stop where a flag, or else an argument, names a machine that is not in hosts.toml."""
    names = [machine.name for machine in fleet.cluster.machines]
    if name and name not in names:
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:20])}"
        given = f"--{flag} {name}" if flag else name
        raise Stop(f"{given}: no such machine in {fleet.cluster.path}; {hint}")
