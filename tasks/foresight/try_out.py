"""Tries a plan on a copy of the machines, and pings all pairs there.

The machines themselves are asked once, and only read. No packet goes between them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from fabric import Config
from paramiko import SSHConfig

from tasks.common.errors import Stop
from tasks.common.signals import allow
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
from tasks.snapshots.gap import Gap
from tasks.snapshots.model import Snapshot
from tasks.ssh.fleet import Fleet
from tasks.twin import lifecycle
from tasks.twin.lifecycle import Twin
from tasks.twin.namespaces import coming_back
from tasks.undo.run import new_run

from .doubts import doubts
from .model import Foresight

Gaps = Mapping[str, Sequence[Gap]]  # by machine

DEADLINE = 60  # seconds for a change on the copy to be confirmed


def foresee(
    taken: Snapshot, plan: Plan, found: Survey, seed: int, tell: Callable[[Gaps], None]
) -> Foresight:
    """What becomes of the pairs if a plan is carried out, by a copy of the machines.

    `taken`: what is copied. `found`: what the plan was made from. `seed`: which pairs are pinged,
    where there are too many to ping all. `tell` is told what was not copied.

    If pairs are silent afterwards, another copy shows whether they are now. Pings on the first one
    would have left their traces in its kernels: neighbours, redirects, path MTUs.

    Raises Stop where the change fails on the copy, or the copy cannot be asked.
    """
    states = {member.name: member.state for member in taken.machines}
    cluster = _only(found.cluster, states)
    with _copy(taken, cluster) as (fleet, gaps):
        tell(gaps)
        _carry_out(fleet, plan, found.facts)
        after, seen = look(fleet, seed)
        causes = diagnose(fleet, seen, after)
    foresight = Foresight(
        after,
        causes,
        doubts(seen, after, states, gaps),
        skipped=[m.name for m in found.cluster.machines if m.name not in states],
        sampled=chosen(seen.cluster, 0, seed, full=False) is not None,
    )
    if not foresight.silent:
        return foresight
    with _copy(taken, cluster) as (fleet, _):
        return replace(foresight, before=look(fleet, seed)[0])


@contextmanager
def _copy(taken: Snapshot, cluster: Cluster) -> Iterator[tuple[Fleet, Gaps]]:
    """The machines of a copy, and what was not copied. It ends with the block.

    A Stop in the block says that it was the copy.
    """
    up = lifecycle.copy(taken, cluster.path, cluster.ssh.user)
    try:
        with operated(up, cluster) as fleet:
            yield fleet, lifecycle.not_copied(taken, up)
    except Stop as stop:
        head = "on a copy of the machines this fails; nothing was changed on themselves:"
        raise Stop("\n".join([head, *(f"  {x}" for x in str(stop.message).splitlines())])) from None
    finally:
        up.stop()


def _only(cluster: Cluster, names: Collection[str]) -> Cluster:
    """The cluster with only some of its machines."""
    return replace(cluster, machines=tuple(m for m in cluster.machines if m.name in names))


@contextmanager
def operated(up: Twin, cluster: Cluster) -> Iterator[Fleet]:
    """The machines of a twin. The calling thread is in the network of its operator meanwhile."""
    with coming_back():
        up.enter()
        # The operator's own configuration of ssh does not apply to a copy.
        fleet = Fleet(up.cluster(cluster), Config(ssh_config=SSHConfig()), place="on a copy")
        try:
            yield fleet
        finally:
            fleet.close()


def look(fleet: Fleet, seed: int) -> tuple[list[Pair], Survey]:
    """A verdict on each pair, as they are now, and what the machines say of themselves.

    `seed`: which pairs are pinged, where there are too many to ping all.
    """
    seen = survey(fleet, pings=True)
    asked = chosen(seen.cluster, 0, seed, full=False)
    reports = ping_all(fleet, seen, PingRequest(asked))
    return judge(seen.cluster, seen.facts, reports, asked), seen


def _carry_out(fleet: Fleet, plan: Plan, facts: Mapping[str, Facts]) -> None:
    """Carry out the plan on the copy. Boot files are left out: a copy has none.

    Raises Stop where it is not carried out whole, and KeyboardInterrupt where a signal came.
    """
    machines = tuple(replace(machine, files=NO_FILES) for machine in plan.machines)
    run = new_run(fleet.cluster.pod_networks, DEADLINE)
    at_once = max(1, len(machines))
    rollout = roll_out(fleet, replace(plan, machines=machines), facts, run, at_once=at_once)
    if allow() or rollout.interrupted:  # nothing of the machines themselves is being changed
        raise KeyboardInterrupt
    if not rollout.whole:
        raise Stop("\n".join(f"{r.name}: {r.why}" for r in rollout.results if r.why))
