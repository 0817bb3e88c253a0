"""What `fab rollback` plans: on the machines, and in the provider's table."""

import sys
from collections.abc import Mapping
from dataclasses import replace

from tasks.facts.model import Facts
from tasks.facts.run_order import last_run, last_runs
from tasks.facts.survey import Survey
from tasks.planning.model import Plan
from tasks.planning.rollback import describe_last_run, plan_last, plan_rollback
from tasks.planning.table_rollback import (
    last_record,
    plan_table_last,
    plan_table_rollback,
    unchanged,
)

STAYS = "the table stays as it is: nothing says that this run changed it"


def plan_whole(found: Survey, limit: str) -> Plan:
    """The plan that takes back all runs. `limit`: one machine, and the routes to its pods."""
    plan = plan_rollback(found.cluster, _chosen(found, limit), found.skipped)
    if found.network is None:
        return plan
    return replace(plan, network=plan_table_rollback(found.cluster, found.network, name=limit))


def plan_unfinished(found: Survey, limit: str) -> Plan | None:
    """The plan that takes back what a run that has not ended added to the table; None if none."""
    if found.network is None:
        return None
    left = found.network.memory.unfinished
    table = plan_table_rollback(found.cluster, found.network, left, limit)
    if not left or table.memory.unfinished == left:
        return None
    return Plan((), found.skipped, network=table)


def plan_of_last(found: Survey, limit: str) -> Plan:
    """The plan that takes back the last run, which is named on stderr.

    Raises Stop if the machines do not agree which run that is.
    """
    chosen, network = _chosen(found, limit), found.network
    latest = last_run(chosen)
    record = network and last_record(found.cluster, network, latest, last_runs(chosen), limit)
    if record and record.run != latest:  # it changed no machine
        plan, latest = Plan((), found.skipped), record.run
    else:
        plan = plan_last(found.cluster, chosen, latest, found.skipped)
    if network and record:
        plan = replace(plan, network=plan_table_last(network, record))
    if plan.empty:
        return plan
    if not plan.blocked:
        print(describe_last_run(latest, found.skipped), file=sys.stderr)
    return replace(plan, network=unchanged(network, STAYS)) if network and not record else plan


def _chosen(found: Survey, limit: str) -> Mapping[str, Facts]:
    """The machines that are rolled back; others were only asked for what hosts.toml leaves out."""
    return {name: facts for name, facts in found.facts.items() if limit in ("", name)}
