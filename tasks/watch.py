"""`fab watch`: keep the cluster true; what was lost comes back."""

import sys
from datetime import datetime

from invoke import Context, task

from tasks.cli.command import Command, fleet, help_for
from tasks.common.errors import Stop


@task(
    klass=Command,
    help={**help_for("inventory"), "every": "seconds between two looks at a machine (10)"},
)
def watch(c: Context, inventory: str = "", every: int = 10) -> None:
    """Put back what machines lose of their routes, until a signal comes; a line an event."""
    from tasks.common.text import counted
    from tasks.rollout.watch import watch as watch_all

    if not 1 <= every <= 3600:
        raise Stop(f"--every {every}: choose from 1 to 3600 seconds")
    machines = fleet(c, inventory)
    number = counted(len(machines.cluster.machines), "machine")
    print(f"watching {number}, every {every} s", file=sys.stderr)

    def say(name: str, what: str) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            print(f"{now} {name} {what}", flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:  # a full disk under a log keeps no route from coming back
            print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)

    watch_all(machines, every, say)
    machines.close()
    print("the watch has ended", file=sys.stderr)
