"""A program of the operator's own, run on this machine for what it prints as JSON."""

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

TIMEOUT = 60  # seconds for one command; Fabric's own --command-timeout sets another
LONGEST = 300  # characters of a program's own words that a message holds
# Values in an answer: a parsed one takes up to a hundred times the room of its text.
MOST_VALUES = 2_000_000

_T = TypeVar("_T")


class Answer(BaseModel):
    """Base of the shapes that answers are read into: the fields named, and nothing else of them.

    What a provider's JSON holds besides, passwords among it, is dropped while it is parsed.
    """


def answer_of(c: Context, argv: Sequence[str], shape: type[_T], key: str, missing: str) -> _T:
    """Run a program and read the JSON it prints into a shape.

    `key` is the environment variable that holds its API key, kept out of messages; `missing`
    says what to do where there is no such program. Raises Stop, in the program's own words
    where it has any, and KeyboardInterrupt.
    """
    name = argv[0]
    if shutil.which(name) is None:
        raise Stop(f"{name} is not on this machine's PATH: {missing}")
    seconds = c.config.timeouts.command or TIMEOUT
    try:
        ended = program.run(argv, seconds)
    except program.TooLong:
        hint = "-T SECONDS in front of the task waits longer"
        raise Stop(f"{name} gives no answer within {seconds} s; {hint}") from None
    except program.TooMuch:
        raise Stop(f"{name} prints more than any answer has: it was ended") from None
    except OSError as error:
        raise Stop(f"{name} cannot be run: {error.strerror}") from None
    if ended.status:
        out, err = (text.decode(errors="replace") for text in (ended.stdout, ended.stderr))
        words = _errors(ended.stdout) or err or _plain(out)
        raise Stop(f"{name} fails: {_quoted(words, os.environ.get(key, ''))}")
    try:
        return _parsed(shape, ended.stdout)
    except ValidationError as error:
        # Its input is not shown: it may hold what must not be.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = shown(".".join(map(str, first["loc"])))
        what = f"{where}: {shown(first['msg'])}" if where else "it prints no JSON"
    except ValueError as error:
        what = str(error)
    raise Stop(f"{name}: its answer cannot be read: {what}")


def _parsed(shape: type[_T], text: bytes) -> _T:
    """JSON in a shape; ValueError where it holds too many values, and ValidationError."""
    if sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    return TypeAdapter(shape).validate_json(text)


def _errors(stdout: bytes) -> str:
    """The details in doctl's `{"errors": [{"detail": "…"}]}`, empty where it is something else."""
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
    """What a program says on stdout before any data, which may hold passwords."""
    return re.split(r"^[ \t]*[{\[]", stdout, maxsplit=1, flags=re.MULTILINE)[0]


def _quoted(words: str, secret: str) -> str:
    """A program's last words on one line, printable, without its API key."""
    if secret:
        words = words.replace(secret, "***")
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    # Among usage and log lines, programs of cobra and kubectl begin theirs with "Error".
    said = [
        line for line in lines if not re.match(r"[IWEF]\d{4} ", line)
    ] or lines  # klog's are not
    told = [line for line in said if re.match(r"error\b", line, re.IGNORECASE)] or said[-3:]
    line = "; ".join(dict.fromkeys(told))
    text = printable(line)
    text = text if len(text) <= LONGEST else f"...{text[-LONGEST:]}"
    encoding = sys.stderr.encoding or "ascii"
    return text.encode(encoding, "replace").decode(encoding) or "it does not say why"
