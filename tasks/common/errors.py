"""How a command line ends: its exit statuses, and the exception that ends it."""

from enum import IntEnum

from invoke.exceptions import Exit


class Status(IntEnum):
    """Exit status of every task."""

    DONE = 0
    ERROR = 1  # before anything was changed: a bad file, an unreachable worker, usage
    TO_DO = 2  # `plan --check`: there is something to do
    UNDONE = 3  # changed, then undone: all as before
    NOT_WHOLE = 4  # a machine was skipped, not confirmed, cannot be asked, or is not as before
    SILENT = 5  # some pairs do not answer, or pods are known to be cut off
    INTERRUPTED = 130  # interrupted: all as before, or before a task was begun


class Stop(Exit):
    """End the command line with a message on stderr and a status, without a traceback.

    The message is what a person reads: what is wrong, where, and what to do.
    """

    def __init__(self, message: str = "", status: Status = Status.ERROR) -> None:
        super().__init__(message or None, code=int(status))
