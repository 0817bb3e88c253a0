"""What the tasks of one command line share: the connections, the rehearsal, the output."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from tasks.cli.options import MAX_PARALLEL
from tasks.cli.startup import silence_stdout
from tasks.common.errors import Stop

if TYPE_CHECKING:
    from tasks.inventory.model import Cluster
    from tasks.ssh.fleet import Fleet
    from tasks.twin.lifecycle import Twin


class Session:
    """The open connections of a command line, and the cluster that it rehearses on."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a command line. A process may run several, each with connections of its own."""
        self._rehearsed: Cluster | None = None
        self._reported = False
        self._fleets: dict[Path, Fleet] = {}

    def rehearse(self, twin: "Twin", cluster: "Cluster") -> None:
        """From now on, use the machines of this twin of a cluster; there is no way back."""
        twin.enter()
        os.environ["PATH"] = twin.path(os.environ.get("PATH", os.defpath))
        self._rehearsed = twin.cluster(cluster)

    @property
    def rehearsing(self) -> bool:
        """Whether the machines are those of a twin."""
        return self._rehearsed is not None

    def fleet(self, c: Context, inventory: str, parallel: int = 0) -> "Fleet":
        """The machines of a hosts.toml, connected once for all tasks of the command line.

        `parallel` of them are asked at a time; 0: as configured. Raises Stop if the file or the
        configuration is wrong.
        """
        from fabric import Config
        from paramiko import SSHConfig

        from tasks.inventory.read import read
        from tasks.ssh.fleet import Fleet

        path = Path(inventory or c.config.inventory)
        rehearsed = self._rehearsed
        if rehearsed is not None:
            if inventory and path.resolve() != rehearsed.path.resolve():
                raise Stop(f"this is a rehearsal of {rehearsed.path}, not of {inventory}")
            path = rehearsed.path
        if path not in self._fleets:
            # The operator's own configuration does not apply in a rehearsal.
            config: Any = Config(ssh_config=SSHConfig()) if rehearsed else c.config
            self._fleets[path] = Fleet(rehearsed or read(path, with_key=True), config)
        self._fleets[path].parallel = parallel or _configured(c.config.parallel)
        return self._fleets[path]

    def forget(self, inventory: Path) -> None:
        """Close the connections of a hosts.toml that was rewritten: the next task reads it anew."""
        held = self._fleets.pop(inventory, None)
        if held is not None:
            held.close()

    def report(self, text: str) -> None:
        """Print a task's results on stdout, one empty line after those of the task before.

        A stdout that is closed or full changes neither the task nor its exit status.
        """
        try:
            if self._reported:
                print()
            self._reported = True
            print(text, flush=True)  # a reader behind a pipe waits for it
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)
            silence_stdout()


def _configured(parallel: object) -> int:
    """FABRIC_PARALLEL, or what the configuration says; raises Stop if it is out of range."""
    try:
        number = int(str(parallel))
    except ValueError:
        number = 0
    if not 1 <= number <= MAX_PARALLEL:
        raise Stop(f"FABRIC_PARALLEL={parallel}: choose from 1 to {MAX_PARALLEL}")
    return number


session = Session()
