"""Runs a command-line program on the operator's machine and reads the JSON that it prints."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import TypeVar

from invoke import Context
from pydantic import BaseModel, TypeAdapter, ValidationError

from tasks.common import program
from tasks.common.errors import Stop
from tasks.common.values import printable, shown

TIMEOUT = 60  # seconds for one command, unless Fabric's --command-timeout is given
LONGEST = 300  # characters of a program's error text in a message
# Values in one answer. Parsed JSON may take a hundred times the memory of its text.
MOST_VALUES = 2_000_000

_T = TypeVar("_T")


class Answer(BaseModel):
    """Base class of the models for JSON answers. Parsing keeps only the fields of the model.

    Everything else in a provider's JSON, such as passwords, is dropped.
    """


class Failed(Exception):
    """The program ended with a status other than 0. The text is what it says, on one line."""


def answer_of(c: Context, argv: Sequence[str], shape: type[_T], key: str, missing: str) -> _T:
    """Run a program and parse the JSON that it prints into `shape`.

    `key`, `missing`: as for `output_of`. Raises KeyboardInterrupt. Raises Stop if there is no valid
    answer, with the program's own error text if it fails.
    """
    seconds = c.config.timeouts.command or TIMEOUT
    try:
        text = output_of(argv, seconds, key, missing)
    except Failed as failed:
        raise Stop(f"{argv[0]} fails: {failed}") from None
    return parsed(argv[0], shape, text)


def output_of(argv: Sequence[str], seconds: float, key: str, missing: str) -> bytes:
    """Run a program for at most `seconds`, and return what it prints on stdout.

    `key` is the environment variable with its API key, which messages never show. `missing` tells
    the operator what to do if the program is not installed. Raises KeyboardInterrupt. Raises Failed
    if the program says that it failed, and Stop if it cannot be run to its end.
    """
    name = argv[0]
    if shutil.which(name) is None:
        raise Stop(f"{name} is not on this machine's PATH: {missing}")
    try:
        ended = program.run(argv, seconds)
    except program.TimedOut:
        hint = "-T SECONDS in front of the task waits longer"
        raise Stop(f"{name} gives no answer within {seconds} s; {hint}") from None
    except program.TooMuchOutput:
        raise Stop(f"{name} prints more than any answer has: it was ended") from None
    except OSError as error:
        raise Stop(f"{name} cannot be run: {error.strerror}") from None
    if ended.status:
        out, err = (text.decode(errors="replace") for text in (ended.stdout, ended.stderr))
        words = _errors(ended.stdout) or err or _plain(out)
        raise Failed(_quoted(words, os.environ.get(key, "")))
    return ended.stdout


def parsed(name: str, shape: type[_T], text: bytes) -> _T:
    """The JSON that the program of this name printed, parsed into `shape`. Raises Stop."""
    try:
        return _parsed(shape, text)
    except ValidationError as error:
        # The message leaves out the input, because it may contain secrets.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = shown(".".join(map(str, first["loc"])))
        what = f"{where}: {shown(first['msg'])}" if where else "it prints no JSON"
    except ValueError as error:
        what = str(error)
    raise Stop(f"{name}: its answer cannot be read: {what}")


def _parsed(shape: type[_T], text: bytes) -> _T:
    """The JSON parsed into `shape`. Raises ValidationError, or ValueError for too many values."""
    if sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    return TypeAdapter(shape).validate_json(text)


def _errors(stdout: bytes) -> str:
    """The details in doctl's `{"errors": [{"detail": "…"}]}`; empty for any other text."""
    try:
        failure = _parsed(_Failure, stdout)
    except ValueError:
        return ""
    return "; ".join(error.detail for error in failure.errors)


class _Error(Answer):
    detail: str


class _Failure(Answer):
    errors: list[_Error]


def _plain(stdout: str) -> str:
    """The text on stdout before any JSON. The JSON is left out because it may hold passwords."""
    return re.split(r"^[ \t]*[{\[]", stdout, maxsplit=1, flags=re.MULTILINE)[0]


def _quoted(words: str, secret: str) -> str:
    """A program's error text on one printable line of limited length, without its API key."""
    if secret:
        words = words.replace(secret, "***")
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    # kubectl and programs built with cobra begin their error lines with "Error". Other lines are
    # usage or log lines.
    said = [
        line for line in lines if not re.match(r"[IWEF]\d{4} ", line)
    ] or lines  # without log lines of klog, if others remain
    told = [line for line in said if re.match(r"error\b", line, re.IGNORECASE)] or said[-3:]
    line = "; ".join(dict.fromkeys(told))
    text = printable(line)
    text = text if len(text) <= LONGEST else f"...{text[-LONGEST:]}"
    encoding = sys.stderr.encoding or "ascii"
    return text.encode(encoding, "replace").decode(encoding) or "it does not say why"
