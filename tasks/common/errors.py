"""The exit statuses of the command line, and the exception that ends it."""

from enum import IntEnum

from invoke.exceptions import Exit


class Status(IntEnum):
    """Exit status of every task."""

    DONE = 0
    ERROR = 1  # nothing was changed: a bad file, an unreachable worker, or wrong usage
    TO_DO = 2  # `plan --check`: the plan has changes
    UNDONE = 3  # changes were made and then rolled back
    NOT_WHOLE = 4  # a machine was skipped, unreachable, not confirmed or not fully rolled back
    SILENT = 5  # some pairs do not answer, or will not; or some pods are known to be unreachable
    INTERRUPTED = 130  # interrupted before the task started, or its changes were rolled back


class Stop(Exit):
    """Ends the command line with a message on stderr and an exit status, without a traceback.

    The message tells the operator what is wrong, where it is wrong, and what to do.
    """

    def __init__(self, message: str = "", status: Status = Status.ERROR) -> None:
        super().__init__(message or None, code=int(status))
