"""Scripts for machines, put together: shell files, with values as quoted assignments in front.

Nothing else puts a value into a script. So whoever writes one cannot forget to quote it.
"""

import re
import shlex
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NewType

from .values import Address, Network

Script = NewType("Script", str)  # what may be sent to a machine
Value = str | int | Address | Network
Values = Value | Iterable[Value]

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_TASKS = Path(__file__).parent.parent


def script(*files: str, **values: Values) -> Script:
    """Shell files of tasks/, one after the other, with values assigned in front of them.

    Several values of one variable stand a line each, so that `for` takes them one by one where
    they hold no blank. A script may be a value too: for `sh -c`, or for a file.
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
    return (_TASKS / file).read_text(encoding="utf-8")


def joined(*scripts: Script) -> Script:
    """Scripts, one after the other."""
    return Script("\n".join(scripts))
