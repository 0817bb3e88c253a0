"""What this program changes of the Python process that it runs in, each with its reason."""

import gc
import logging
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from traceback import walk_tb
from types import TracebackType

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
    sys.excepthook = _explain_ssh_config
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


def _explain_ssh_config(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print one line for an ssh_config(5) file that Fabric cannot read; it exits with status 1.

    Fabric reads that file before any task begins, where no task can catch the error. Any other
    exception is printed as Python does.
    """
    from paramiko import ConfigParseError

    path = _ssh_config_being_read(trace)
    if path is not None and isinstance(error, ConfigParseError):
        why = f"Fabric cannot read it, though ssh may: {error}"
    elif path is not None and isinstance(error, UnicodeDecodeError):
        why = "Fabric cannot read it, though ssh may: it is not UTF-8"
    elif path is not None and isinstance(error, OSError):
        why = f"cannot be read: {error.strerror}"
    else:
        sys.__excepthook__(kind, error, trace)
        return
    way_out = "`fab --ssh-config FILE TASK` reads another file; /dev/null stands for none"
    print(f"{path}: {why}\n{way_out}", file=sys.stderr)


def _ssh_config_being_read(trace: TracebackType | None) -> str | None:
    """The path of the ssh_config that Fabric was reading when the error was raised."""
    for frame, _ in walk_tb(trace):
        path = frame.f_locals.get("path")
        if frame.f_code.co_name.startswith("_load_ssh_file") and isinstance(path, str):
            return path
    return None
