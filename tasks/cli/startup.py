"""What Fabric cannot read of ssh_config(5), said plainly: it reads that before any task begins."""

import logging
import sys
from traceback import walk_tb
from types import TracebackType

from paramiko import ConfigParseError


def say_plainly() -> None:
    """Have such an error end in a line, with status 1, and every other as Python has it."""
    sys.excepthook = _said
    # With --debug, Invoke logs its whole configuration, and the passwords in it.
    logging.getLogger("invoke").setLevel(logging.INFO)


def _said(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    path = _file_read(trace)
    if path is not None and isinstance(error, ConfigParseError):
        why = f"Fabric cannot read it, though ssh may: {error}"
    elif path is not None and isinstance(error, UnicodeDecodeError):
        why = "Fabric cannot read it, though ssh may: it is not UTF-8"
    elif path is not None and isinstance(error, OSError):
        why = f"cannot be read: {error.strerror}"
    else:
        sys.__excepthook__(kind, error, trace)
        return
    way_out = "`fab --ssh-config FILE TASK` takes another; /dev/null is none"
    print(f"{path}: {why}\n{way_out}", file=sys.stderr)


def _file_read(trace: TracebackType | None) -> str | None:
    """The ssh_config that Fabric was reading when it failed."""
    for frame, _ in walk_tb(trace):
        path = frame.f_locals.get("path")
        if frame.f_code.co_name.startswith("_load_ssh_file") and isinstance(path, str):
            return path
    return None
