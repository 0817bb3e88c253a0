"""What the tasks of one command line share, and what is the same at the start of each."""

import atexit
import gc
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context
from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.tasks import Task

from tasks.common.errors import Status, Stop
from tasks.common.files import private_key
from tasks.common.signals import allow

if TYPE_CHECKING:
    from tasks.ssh.fleet import Fleet
    from tasks.twin.lifecycle import Twin

REHEARSE = "rehearse"
MOST = 1000  # machines at a time
GARBAGE = 200_000  # objects to make before Python looks for garbage among them
HELP = {
    "inventory": "hosts.toml of another cluster (default: the one in this directory)",
    "adopt": "make routes ours that are right but foreign",
    "replace": "take away foreign routes that are in the way; rollback puts them back",
    "prune": "delete ours to workers that are not in hosts.toml",
    "force": "with --prune: even where the next hop still answers",
    "only": "the routes to this worker, and those on it",
    "limit": "this machine only",
    "skip-unreachable": "leave out machines that cannot be asked (exit status 4)",
    "dry-run": "print the lines that each machine would be given, and change nothing",
    "confirm-timeout": "seconds until a change that is not confirmed takes itself back (60)",
    "no-ping": "do not ping pods before and after: where ICMP is closed",
    "persist": "auto: routes outlive a reboot; none: they do not (default: as hosts.toml says)",
    "yes": "do not ask before changing anything",
    "parallel": "so many machines at a time (default: asked 32, changed 1)",
}


def help_for(*flags: str) -> dict[str, str]:
    """The help of flags that mean the same on every task."""
    return {flag: HELP[flag] for flag in flags}


class CommandLine:
    """The twin that a command line rehearses on, and the connections it has open.

    It stands in the configuration of the task collection, where Invoke keeps what tasks share.
    """

    def __init__(self) -> None:
        self._twin: Twin | None = None
        self._rehearsed = Path()
        self._reported = False
        self._fleets: dict[Path, Fleet] = {}

    def __copy__(self) -> "CommandLine":
        return self  # Invoke copies configuration values from task to task

    def rehearse(self, twin: "Twin", inventory: Path) -> None:
        """From now on, mean the machines of this twin of a hosts.toml; there is no way back."""
        twin.enter()
        self._twin = twin
        self._rehearsed = inventory

    @property
    def rehearsing(self) -> bool:
        """Whether the machines are a twin's."""
        return self._twin is not None

    def forget(self, inventory: Path) -> None:
        """Have the tasks that follow read a hosts.toml anew: it has been written."""
        held = self._fleets.pop(inventory, None)
        if held is not None:
            held.close()

    def report(self, text: str) -> None:
        """Print a task's results, apart from those of the task before.

        A reader who has seen enough keeps no task from its end, nor from its exit status.
        """
        try:
            if self._reported:
                print()
            self._reported = True
            print(text, flush=True)  # whoever watches through a pipe waits for it
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                print(f"stdout cannot be written: {error.strerror}", file=sys.stderr)
            _print_no_more()

    def fleet(self, c: Context, inventory: str, parallel: int) -> "Fleet":
        """The machines of hosts.toml, connected once for all tasks."""
        from fabric import Config
        from paramiko import SSHConfig

        from tasks.inventory.read import read
        from tasks.ssh.fleet import Fleet

        path = Path(inventory or c.config.inventory)
        if self._twin is not None:
            if inventory and path.resolve() != self._rehearsed.resolve():
                raise Stop(f"this is a rehearsal of {self._rehearsed}, not of {inventory}")
            path = self._rehearsed
        if path not in self._fleets:
            config: Any = c.config
            cluster = read(path, with_key=self._twin is None)
            if self._twin is not None:
                cluster = self._twin.cluster(cluster)
                config = Config(ssh_config=SSHConfig())  # none of the operator's own
            self._fleets[path] = Fleet(cluster, config)
        self._fleets[path].parallel = parallel or _number(c.config.parallel)
        return self._fleets[path]


def fleet(c: Context, inventory: str, parallel: int = 0) -> "Fleet":
    """The machines that a task is about, asked so many at a time; 0: as configured."""
    if not 0 <= parallel <= MOST:
        raise Stop(f"--parallel {parallel}: choose from 1 to {MOST}")
    command_line: CommandLine = c.config.command_line
    return command_line.fleet(c, inventory, parallel)


def _number(configured: object) -> int:
    """What FABRIC_PARALLEL or the collection's configuration says."""
    try:
        number = int(str(configured))
    except ValueError:
        number = 0
    if not 1 <= number <= MOST:
        raise Stop(f"FABRIC_PARALLEL={configured}: choose from 1 to {MOST}")
    return number


def report(c: Context, text: str) -> None:
    """Print a task's results on stdout."""
    command_line: CommandLine = c.config.command_line
    command_line.report(text)


class _Number(Argument):
    """A flag that takes a whole number, with a plain line for what is none."""

    def __init__(self, flag: Argument) -> None:
        """As Invoke has made it."""
        self.__dict__.update(vars(flag))

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take what was typed."""
        try:
            super().set_value(value, cast)
        except ValueError:
            raise ParseError(f"--{self.names[0]}: {value} is not a whole number") from None


class Command(Task[Any]):
    """A task of this collection: it ends in a plain line whatever a person does.

    Its flags have no single letters: those that Invoke makes up mean another on each task.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Invoke's own."""
        super().__init__(*args, **{**kwargs, "auto_shortflags": False})

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The task's flags."""
        flags = super().get_arguments(ignore_unknown_help)
        return [_Number(flag) if flag.kind is int else flag for flag in flags]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task's body; raises Stop where the command line makes no sense."""
        names = _task_names()
        if REHEARSE in names[1:]:
            raise Stop(
                f"{REHEARSE} must come first on the command line: what stands before it would run"
                " on the real machines. Nothing was run"
            )
        if hasattr(args[0], "host"):
            raise Stop("-H is not used here: the machines stand in hosts.toml; see --limit, --only")
        if args[0].config.run.dry:
            raise Stop(
                "--dry is not used here: see `fab plan`, and --dry-run of what changes machines."
                " Nothing was run"
            )
        _refuse_identities(args[0], names)
        _collect_rarely()
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # what a terminal has no letters for
        if allow():
            raise Stop(f"interrupted: {self.name} was not begun", Status.INTERRUPTED)
        try:
            return super().__call__(*args, **kwargs)
        except KeyboardInterrupt:
            raise Stop("interrupted: nothing was changed", Status.INTERRUPTED) from None
        except BrokenPipeError:
            _print_no_more()
            raise Stop(status=Status.DONE) from None


def _refuse_identities(c: Context, names: list[str]) -> None:
    """Stop where -i names no private key: elsewhere, an inventory is what it names."""
    for identity in map(str, c.config.authentication.identities):
        try:
            private_key(Path(identity).expanduser())
        except (OSError, RuntimeError) as error:  # ~ of a user that there is not
            why = error.strerror if isinstance(error, OSError) else "there is no such home"
            raise Stop(
                f"-i {identity}: cannot be used: {why}; it names a key to log in with."
                " Nothing was run\n"
                f"another hosts.toml is named after the task: fab {names[0]} --inventory {identity}"
            ) from None


def _print_no_more() -> None:
    """Where nobody reads stdout any more: Python would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _collect_rarely() -> None:
    """Hardly anything that a command line makes is garbage before its end, when all of it goes."""
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)


def comes_later(name: str, after: str) -> bool:
    """Whether a task is named on this command line after another."""
    names = _task_names()
    return after in names and name in names[names.index(after) :]


def anything_follows(name: str) -> bool:
    """Whether a task is not the last one that this command line names."""
    return _task_names()[-1:] != [name]


def _task_names() -> list[str]:
    """The tasks named on this command line."""
    from fabric.main import program

    return [context.name for context in getattr(program, "tasks", [])]
