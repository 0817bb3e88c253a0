"""Asks the operator for confirmation at the terminal."""

import sys

from .errors import Stop


def is_interactive() -> bool:
    """True if stdin is a terminal. If the shell closed stdin, `sys.stdin` is None."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirm_prompt(question: str, yes: bool) -> None:
    """Ask for confirmation, unless `yes` already gives it.

    Raises Stop if the answer is not yes, or if stdin is not a terminal.
    """
    if yes:
        return
    if not is_interactive():
        raise Stop(f"{question} There is no terminal to ask: add --yes. Nothing was changed.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop("not confirmed: nothing was changed")
