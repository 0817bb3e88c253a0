"""The conversation with each machine, logged at level DEBUG: `fab --debug TASK` shows it on stderr.

Every line begins with the machine's name and a sign: `>` was sent, `<` was heard, `!` is the
exception that ended it. All lines are printable, and secrets are replaced by HIDDEN.
"""

import logging
from collections.abc import Collection

from tasks.common.values import printable

HIDDEN = "(secret)"
_LOG = logging.getLogger("tasks.ssh")


class Transcript:
    """Logs the conversation with one machine."""

    def __init__(self, machine: str, secrets: Collection[str | None] = ()) -> None:
        """`secrets`: texts that must not be logged, also those that are added to it later; None and
        "" are ignored."""
        self._machine = machine
        self._secrets = secrets

    def sent(self, text: str) -> None:
        """Log text that was sent to the machine."""
        self._log(">", text)

    def heard(self, data: bytes | bytearray) -> None:
        """Log what the machine said."""
        if data and _LOG.isEnabledFor(logging.DEBUG):
            self._log("<", data.decode("utf-8", "replace"))

    def failed(self, error: Exception) -> None:
        """Log an exception that ended the conversation."""
        self._log("!", f"{type(error).__name__}: {error}")

    def _log(self, sign: str, text: str) -> None:
        if not _LOG.isEnabledFor(logging.DEBUG):
            return
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        lines = (printable(line.replace("\t", " ")) for line in text.strip("\n").split("\n"))
        labelled = "".join(f"\n{self._machine} {sign} {line}".rstrip() for line in lines)
        _LOG.debug("%s", labelled, stacklevel=2)
