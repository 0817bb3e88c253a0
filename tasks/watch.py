"""`fab watch`: put back the routes that machines lose, as long as it runs."""

import sys
from datetime import datetime

from invoke import Context, task

from tasks.cli.command import Command
from tasks.cli.options import EVERY
from tasks.cli.session import session


@task(klass=Command)
def watch(c: Context, inventory: str = "", every: int = EVERY) -> None:
    """Put back this tool's routes that machines lose, until a signal comes."""
    from tasks.cli.change import network_of
    from tasks.common.text import counted
    from tasks.rollout.watch import watch as watch_all

    machines = session.fleet(c, inventory)
    network = network_of(machines)
    number = counted(len(machines.cluster.machines), "machine")
    print(f"watching {number}, every {every} s", file=sys.stderr)

    def say(name: str, what: str) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            print(f"{now} {name} {what}", flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:  # a log on a full disk must not stop the repairs
            print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)

    watch_all(machines, every, say, network)
    machines.close()
    print("the watch has ended", file=sys.stderr)
