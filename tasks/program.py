"""A program of the operator's own, run on this machine for what it prints as JSON."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import TypeVar

from invoke import Context
from invoke.exceptions import CommandTimedOut
from invoke.runners import Local
from pydantic import BaseModel, TypeAdapter, ValidationError

from .exits import Stop
from .found import printable

TIMEOUT = 60  # seconds for one command; Fabric's own --command-timeout sets another
LONGEST = 300  # characters of a program's own words that a message holds

_T = TypeVar("_T")


class Answer(BaseModel):
    """Base of the shapes that answers are read into: the fields named, and nothing else of them.

    What a provider's JSON holds besides, passwords among it, is dropped while it is parsed.
    """


class _Program(Local):
    """Invoke's runner, but that Ctrl-C ends the program and the task, and nothing is typed in."""

    def send_interrupt(self, interrupt: KeyboardInterrupt) -> None:
        self.kill()
        raise interrupt

    def respond(self, buffer_: list[str]) -> None:
        """No watchers: to look for prompts would cost the square of the answer's length."""


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
        result = _Program(c).run(  # noqa: S604  # `shell` says which; every word is quoted
            f"exec {shlex.join(argv)} </dev/null",
            hide=True,
            warn=True,
            in_stream=False,
            encoding="utf-8",
            shell="/bin/sh",
            timeout=seconds,
        )
    except CommandTimedOut:
        hint = "-T SECONDS in front of the task waits longer"
        raise Stop(f"{name} gives no answer within {seconds} s; {hint}") from None
    assert result is not None  # it is for what runs in the background only
    if result.exited in (-2, 130):  # Ctrl-C went to the program too, which was quicker
        raise KeyboardInterrupt
    if result.exited:
        words = _errors(result.stdout) or result.stderr or _plain(result.stdout)
        raise Stop(f"{name} fails: {_quoted(words, os.environ.get(key, ''))}")
    try:
        return TypeAdapter(shape).validate_json(result.stdout)
    except ValidationError as error:
        # Its input is not shown: it may hold what must not be.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = printable(".".join(map(str, first["loc"])))
        what = f"{where}: {first['msg']}" if where else "it prints no JSON"
        raise Stop(f"{name}: its answer cannot be read: {what}") from None


def _errors(stdout: str) -> str:
    """The details in doctl's `{"errors": [{"detail": "…"}]}`, empty where it is something else."""
    try:
        failure = _Failure.model_validate_json(stdout)
    except ValidationError:
        return ""
    return "; ".join(error.detail for error in failure.errors)


class _Error(Answer):
    detail: str


class _Failure(Answer):
    errors: list[_Error]


def _plain(stdout: str) -> str:
    """What a program says on stdout before any data, which may hold passwords."""
    return re.split(r"^\s*[{\[]", stdout, maxsplit=1, flags=re.MULTILINE)[0]


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
