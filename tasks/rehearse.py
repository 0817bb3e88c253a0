"""`fab rehearse …`: run the rest of the command line on a twin of the cluster."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, task

from tasks.cli.command import Command, is_last_task
from tasks.cli.session import session
from tasks.common.errors import Stop

if TYPE_CHECKING:
    from tasks.inventory.model import Cluster
    from tasks.twin.lifecycle import Twin

_HELP = {
    "live": "copy the machines as they are now: they are asked, and nothing is changed there",
    "snapshot": "copy the machines of this file, which `fab snapshot` wrote",
}


@task(klass=Command, help=_HELP)
def rehearse(c: Context, inventory: str = "", live: bool = False, snapshot: str = "") -> None:
    """Run the tasks named after it on a copy of the cluster inside this machine."""
    from tasks.inventory.read import read
    from tasks.twin import lifecycle

    if is_last_task("rehearse"):
        raise Stop("rehearse what? `fab rehearse apply-routes verify`, for one")
    if live and snapshot:
        raise Stop("--live asks the machines, --snapshot reads a file: choose one")
    if live or snapshot:
        up, cluster = _copy(c, inventory, snapshot)
    else:
        path = Path(inventory or c.config.inventory)
        cluster = read(path, with_key=False)
        up = lifecycle.find(path) or lifecycle.build(cluster, keep=False)
    for line in up.invented:
        print(f"invented for the rehearsal: {line}", file=sys.stderr)
    session.rehearse(up, cluster)


def _copy(c: Context, inventory: str, file: str) -> "tuple[Twin, Cluster]":
    """A copy of the machines as they are, or as they are in a file."""
    from tasks.cli.copies import tell_not_copied
    from tasks.snapshots.file import read_snapshot
    from tasks.snapshots.model import cluster_of
    from tasks.snapshots.take import take
    from tasks.twin import lifecycle

    lifecycle.check_machine()
    if file:
        if inventory:
            raise Stop("--snapshot names the machines: leave out --inventory")
        taken = read_snapshot(Path(file))
        cluster = cluster_of(taken, Path(file))
    else:
        fleet = session.fleet(c, inventory)
        if fleet.cluster.network:
            raise Stop(
                "--live copies no provider's network: tasks would change the real table; rehearse"
                " without --live, or without [network]"
            )
        cluster, taken = fleet.cluster, take(fleet)
        session.forget(cluster.path)
    up = lifecycle.copy(taken, cluster.path, cluster.ssh.user)
    if cluster.bgp:
        print("not copied: BIRD; routes that came by BGP are there without it", file=sys.stderr)
    tell_not_copied(lifecycle.not_copied(taken, up))
    return up, cluster
