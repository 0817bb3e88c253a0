"""What this program changes of the Python process that it runs in, each with its reason."""

import gc
import logging
import os
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path
from traceback import walk_tb
from types import FrameType, TracebackType

GC_THRESHOLD = 200_000  # new objects before Python looks for garbage among them


def allow_bytecode() -> None:
    """Let Python keep the compiled modules of this project, which Invoke forbids.

    Compiling them anew in every run takes a tenth of a second. In the checkout of another user
    nothing is kept: root would leave files there that their owner cannot remove.
    """
    if not sys.flags.dont_write_bytecode and Path(__file__).stat().st_uid == os.geteuid():
        sys.dont_write_bytecode = False


def prepare() -> None:
    """Set what holds for the whole command line."""
    # Pydantic would search every installed package for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.excepthook = _explain_configuration
    # With --debug, Invoke logs its whole configuration, and the passwords in it.
    logging.getLogger("invoke").setLevel(logging.INFO)


def prepare_task() -> None:
    """Set what only a task needs, and `fab --list` does not."""
    gc.set_threshold(GC_THRESHOLD)  # planning for 1,000 workers takes 5.6 s instead of 6.5 s
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal whose encoding lacks a character would end the task with a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")


def silence_stdout() -> None:
    """Send stdout nowhere, once its reader has gone: Python's last flush would report an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain_configuration(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a line or two for configuration that Fabric cannot read; it exits with status 1.

    Fabric reads ssh_config(5), a fabric.yaml beside fabfile.py, the file of --config and variables
    named FABRIC_ before any task begins, where no task can catch the error. It reads ~/.fabric.yaml
    and /etc/fabric.yaml before it loads this project, which can do nothing about those. Any other
    exception is printed as Python does.
    """
    lines = _explained(error, list(walk_tb(trace)))
    if lines:
        print(lines, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _explained(error: BaseException, frames: Iterable[tuple[FrameType, int]]) -> str:
    """What an error of Fabric's configuration means; empty for any other error."""
    for frame, _ in frames:
        function = frame.f_code.co_name
        if function.startswith("_load_ssh_file"):
            return _about_ssh_config(str(frame.f_locals.get("path")), error)
        if frame.f_globals.get("__name__") == "getpass" and isinstance(error, EOFError):
            return "nothing was typed, and there is no terminal to ask in; nothing was run"
        if frame.f_globals.get("__name__") != "invoke.config":
            continue
        if function == "_load_file":
            return f"{frame.f_locals.get('filepath')}: Fabric cannot read it: {_in_a_line(error)}"
        if function == "_merge_file":
            return f"{frame.f_locals.get('path')}: Fabric cannot use it: {_in_a_line(error)}"
        if function == "load_shell_env":
            return f"a variable that begins with FABRIC_ cannot be used: {_in_a_line(error)}"
    return ""


def _in_a_line(error: BaseException) -> str:
    """The error, without the values that Fabric quotes if they are of the wrong kind."""
    from invoke.config import AmbiguousMergeError

    if isinstance(error, AmbiguousMergeError):
        return "it has one value where there should be several with names, or the other way round"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _about_ssh_config(path: str, error: BaseException) -> str:
    """What is wrong with an ssh_config; empty if it is none of the usual."""
    from paramiko import ConfigParseError

    if isinstance(error, ConfigParseError):
        why = f"Fabric cannot read it, though ssh may: {error}"
    elif isinstance(error, UnicodeDecodeError):
        why = "Fabric cannot read it, though ssh may: it is not UTF-8"
    elif isinstance(error, OSError):
        why = f"cannot be read: {error.strerror}"
    else:
        return ""
    way_out = "`fab --ssh-config FILE TASK` reads another file; /dev/null stands for none"
    return f"{path}: {why}\n{way_out}"
