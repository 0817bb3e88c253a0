"""The person at the terminal, if there is one: asked before what cannot be seen beforehand."""

import sys

from .errors import Stop


def somebody_there() -> bool:
    """Whether there is a terminal to ask in; Python has no stdin where it is closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def agree(question: str, yes: bool) -> None:
    """Ask in a terminal; raises Stop where the answer is no, or nobody can be asked."""
    if yes:
        return
    if not somebody_there():
        raise Stop(f"{question} There is no terminal to ask: add --yes. Nothing was changed.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop("not confirmed: nothing was changed")
