"""Questions to the person at the terminal."""

import sys

from .errors import Stop


def is_interactive() -> bool:
    """Whether stdin is a terminal. Python has no stdin where the shell closed it."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirm_prompt(question: str, yes: bool) -> None:
    """Ask for confirmation, unless `yes` already gives it.

    Raises Stop where the answer is no, or there is no terminal to ask in.
    """
    if yes:
        return
    if not is_interactive():
        raise Stop(f"{question} There is no terminal to ask: add --yes. Nothing was changed.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop("not confirmed: nothing was changed")
