"""Tries a plan on a copy of the machines, and pings all pairs there, before and after.

The machines themselves are asked once, and only read. No packet goes between them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from fabric import Config
from paramiko import SSHConfig

from tasks.common.errors import Stop
from tasks.connectivity.mesh import PingRequest, ping_all
from tasks.connectivity.sample import chosen
from tasks.connectivity.verdict import Pair, judge
from tasks.diagnosis.diagnose import diagnose
from tasks.facts.model import Facts
from tasks.facts.survey import Survey, survey
from tasks.inventory.model import Cluster
from tasks.persistence.backends import NO_FILES
from tasks.planning.model import Plan
from tasks.rollout.transaction import roll_out
from tasks.snapshots.model import Snapshot
from tasks.ssh.fleet import Fleet
from tasks.twin import lifecycle
from tasks.twin.lifecycle import Twin
from tasks.twin.namespaces import coming_back
from tasks.undo.run import new_run

from .doubts import doubts
from .model import Foresight

DEADLINE = 60  # seconds for a change on the copy to be confirmed


def foresee(up: Twin, taken: Snapshot, plan: Plan, found: Survey, seed: int) -> Foresight:
    """What becomes of the pairs if a plan is carried out on the copy that is up.

    `taken`: what it is a copy of. `found`: what the plan was made from. `seed`: which pairs are
    pinged, where there are too many to ping all.

    Raises Stop where the change is taken back on the copy, or the copy cannot be asked.
    """
    here = [member.name for member in taken.machines]
    with _fleet(up, _only(found.cluster, here)) as fleet:
        before, _ = _look(fleet, seed)
        _carry_out(fleet, plan, found.facts)
        after, seen = _look(fleet, seed)
        causes = diagnose(fleet, seen, after)
    return Foresight(
        before,
        after,
        causes,
        doubts(seen, after, lifecycle.not_copied(taken, up)),
        [m.name for m in found.cluster.machines if m.name not in here],
        sampled=chosen(seen.cluster, 0, seed, full=False) is not None,
    )


def _only(cluster: Cluster, names: list[str]) -> Cluster:
    """The cluster with only some of its machines."""
    return replace(cluster, machines=tuple(m for m in cluster.machines if m.name in names))


@contextmanager
def _fleet(up: Twin, cluster: Cluster) -> Iterator[Fleet]:
    """The machines of a copy. The thread is in the network of its operator meanwhile."""
    with coming_back():
        up.enter()
        # The operator's own configuration of ssh does not apply to a copy.
        fleet = Fleet(up.cluster(cluster), Config(ssh_config=SSHConfig()))
        try:
            yield fleet
        finally:
            fleet.close()


def _look(fleet: Fleet, seed: int) -> tuple[list[Pair], Survey]:
    """A verdict on each pair, as they are now."""
    seen = survey(fleet, pings=True)
    asked = chosen(seen.cluster, 0, seed, full=False)
    reports = ping_all(fleet, seen, PingRequest(asked))
    return judge(seen.cluster, seen.facts, reports, asked), seen


def _carry_out(fleet: Fleet, plan: Plan, facts: Mapping[str, Facts]) -> None:
    """Carry out the plan on the copy. Boot files are left out: a copy has none.

    Raises Stop where it is not carried out whole.
    """
    machines = tuple(replace(machine, files=NO_FILES) for machine in plan.machines)
    run = new_run(fleet.cluster.pod_networks, DEADLINE)
    at_once = max(1, len(machines))
    rollout = roll_out(fleet, replace(plan, machines=machines), facts, run, at_once=at_once)
    if not rollout.whole:
        whys = [f"  {r.name}: {r.why}" for r in rollout.results if r.why]
        head = "on a copy of the machines this change fails; nothing was changed on themselves:"
        raise Stop("\n".join([head, *whys]))
