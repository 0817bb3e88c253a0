"""`fab rehearse …`: run the rest of the command line on a twin of the cluster."""

import sys
from pathlib import Path

from invoke import Context, task

from tasks.cli.command import Command, is_last_task
from tasks.cli.session import session
from tasks.common.errors import Stop


@task(klass=Command)
def rehearse(c: Context, inventory: str = "") -> None:
    """Run the tasks named after it on a copy of the cluster inside this machine."""
    from tasks.inventory.read import read
    from tasks.twin import lifecycle

    if is_last_task("rehearse"):
        raise Stop("rehearse what? `fab rehearse apply-routes verify`, for one")
    path = Path(inventory or c.config.inventory)
    cluster = read(path, with_key=False)
    up = lifecycle.find(path) or lifecycle.build(cluster, keep=False)
    for line in up.invented:
        print(f"invented for the rehearsal: {line}", file=sys.stderr)
    session.rehearse(up, path)
