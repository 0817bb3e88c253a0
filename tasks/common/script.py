"""Builds the scripts that run on machines: quoted variable assignments, then shell files.

Values enter scripts only through this module, so no value is left unquoted.
"""

import re
import shlex
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NewType

from .values import Address, Network

Script = NewType("Script", str)  # only this type may be sent to a machine
Value = str | int | Address | Network
Values = Value | Iterable[Value]

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_TASKS = Path(__file__).parent.parent


def script(*files: str, **values: Values) -> Script:
    """A script that assigns the values to variables and then runs the shell files in order.

    The paths of `files` are relative to tasks/. Several values of one variable become one line
    each, so `for` can loop over values without blanks. A value may also be a script, for `sh -c`
    or for a file. Raises ValueError for an invalid variable name or a value with a zero byte.
    """
    return Script(
        "\n".join([*(_assigned(name, v) for name, v in values.items()), *map(_text, files)])
    )


def _assigned(name: str, value: Values) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name of a shell variable: {name}")
    several = [value] if isinstance(value, str | int | Address | Network) else value
    text = "\n".join(map(str, several))
    if "\0" in text:
        raise ValueError("no shell can hold a zero byte")
    return f"{name}={shlex.quote(text)}"


@lru_cache
def _text(file: str) -> str:
    """A shell file without its comments and empty lines: half of what goes over the wire."""
    lines = (_TASKS / file).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))


def joined(*scripts: Script) -> Script:
    """One script that runs these scripts in order."""
    return Script("\n".join(scripts))
