"""A task of this collection: what its command line may say, and how it ends."""

from pathlib import Path
from typing import Any

from invoke import Context
from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.tasks import Task

from tasks.cli import configuration, startup
from tasks.cli.options import OPTIONS, help_of
from tasks.common.errors import Status, Stop
from tasks.common.files import check_key
from tasks.common.signals import allow

REHEARSE = "rehearse"


class _Number(Argument):
    """A flag that takes a whole number within a range."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take what was typed; raises ParseError if it is no such number."""
        flag = self.names[0]
        try:
            super().set_value(value, cast)
        except ValueError:
            raise ParseError(f"--{flag}: {value} is not a whole number") from None
        numbers = OPTIONS[flag].numbers
        if numbers and not numbers.allow(self.value):
            raise ParseError(f"--{flag} {value}: {numbers.choice}")


class Command(Task[Any]):
    """A task whose mistakes on the command line end in one line instead of a traceback.

    A flag has the help of the table in options.py, unless the task gives its own. There are no
    single-letter flags: Invoke makes them up, and one letter would mean different flags on
    different tasks.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "auto_shortflags": False})

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """What Invoke knows of a flag; raises KeyError if no help is given for it."""
        opts = super().arg_opts(name, default, taken_names)
        return opts if "help" in opts else {**opts, "help": help_of(opts["names"][0])}

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """The flags of the task."""
        flags = super().get_arguments(ignore_unknown_help)
        return [_number(flag) if flag.kind is int else flag for flag in flags]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; raises Stop if the command line makes no sense."""
        _check_command_line(args[0])
        startup.prepare_task()
        if allow():
            raise Stop(f"interrupted: {self.name} was not begun", Status.INTERRUPTED)
        try:
            return super().__call__(*args, **kwargs)
        except KeyboardInterrupt:
            raise Stop("interrupted: nothing was changed", Status.INTERRUPTED) from None
        except BrokenPipeError:
            startup.silence_stdout()
            raise Stop(status=Status.DONE) from None


def _number(flag: Argument) -> _Number:
    return _Number(
        names=flag.names,
        kind=int,
        default=flag.default,
        help=flag.help,
        attr_name=flag.attr_name,
    )


def _check_command_line(c: Context) -> None:
    """Raise Stop where Fabric's own flags, or the order of the tasks, are not those used here."""
    wrong = configuration.mistakes(c.config)
    if wrong:
        raise Stop("\n".join([*wrong, "Nothing was run"]))
    for name, seconds in c.config.timeouts.items():
        c.config.timeouts[name] = None if seconds is None else int(seconds)
    names = _task_names()
    if REHEARSE in names[1:]:
        raise Stop(
            f"{REHEARSE} must come first on the command line: the tasks before it would run on the"
            " real machines. Nothing was run"
        )
    if hasattr(c, "host"):
        raise Stop("-H is not used here: the machines are in hosts.toml; see --limit, --only")
    if c.config.run.dry:
        raise Stop(
            "--dry is not used here: see `fab plan`, and the --dry-run of tasks that change"
            " machines. Nothing was run"
        )
    for identity in map(str, c.config.authentication.identities):
        try:
            check_key(Path(identity).expanduser())
        except (OSError, RuntimeError) as error:  # ~ of a user that there is not
            why = error.strerror if isinstance(error, OSError) else "there is no such home"
            raise Stop(
                f"-i {identity}: cannot be used: {why}; it names a key to log in with."
                " Nothing was run\n"
                f"another hosts.toml is named after the task: fab {names[0]} --inventory {identity}"
            ) from None


def task_follows(name: str, after: str) -> bool:
    """Whether the command line names a task after another one."""
    names = _task_names()
    return after in names and name in names[names.index(after) :]


def is_last_task(name: str) -> bool:
    """Whether a task is the last one that the command line names."""
    return _task_names()[-1:] == [name]


def _task_names() -> list[str]:
    """The tasks that the command line names, in its order."""
    from fabric.main import program

    return [context.name for context in getattr(program, "tasks", [])]
