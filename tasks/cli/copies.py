"""Copies of the machines as they are: what they lack is told, and a plan is tried on one."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

from tasks.common.errors import Stop
from tasks.common.text import first, wrapped
from tasks.facts.survey import Survey
from tasks.foresight.model import Foresight
from tasks.foresight.try_out import foresee
from tasks.inventory.model import Cluster
from tasks.planning.model import Plan
from tasks.snapshots.gap import Gap
from tasks.snapshots.take import take
from tasks.ssh.fleet import Fleet
from tasks.twin import lifecycle

MOST_TOLD = 20  # gaps of a machine


def tell_not_copied(gaps: Mapping[str, Sequence[Gap]]) -> None:
    """Print on stderr what a copy lacks, machine by machine."""
    lines = ["not copied: the network between the machines; a switch is in its place"]
    for name, found in gaps.items():
        words = first([gap.words for gap in found], MOST_TOLD)
        lines += [f"not copied of {name}: {line}" for line in words]
    print("\n".join(wrapped(lines)), file=sys.stderr)


def check_foresight(cluster: Cluster) -> None:
    """Raise Stop where a plan cannot be tried on a copy, with what to do instead."""
    instead = "`fab rehearse apply-routes verify` tries it on clean machines"
    if cluster.network:
        raise Stop(f"--foresee copies no table of a provider's network: {instead}")
    if cluster.bgp:
        raise Stop(f"--foresee copies no BIRD, and so no BGP: {instead}")
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Stop(
            "--foresee needs root on Linux: put sudo before the command, or copy the file of"
            " `fab snapshot FILE` to where you are root, for `fab rehearse --snapshot FILE"
            " apply-routes verify`"
        )
    lifecycle.check_machine()


def foreseen(fleet: Fleet, plan: Plan, found: Survey, *, skip_unreachable: bool) -> Foresight:
    """What becomes of the pairs if a plan is carried out. The machines are only read.

    Raises Stop where the plan is not one to carry out, and where the copy cannot do it.
    """
    if any(m.bird or m.install for m in plan.machines):
        raise Stop("--foresee copies no BIRD: take it away first, with `fab apply-routes`")
    taken = take(fleet, skip_unreachable=skip_unreachable)
    return foresee(taken, plan, found, datetime.now().microsecond, tell_not_copied)
