"""A machine that falls silent: nothing is waited for longer than a person has said."""

import threading
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from tasks.shell import Talk, Trouble


class Silent:
    """A channel whose sshd does not say whether it has started the command."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def set_combine_stderr(self, _combine: bool) -> None:
        """As paramiko has it."""

    def exec_command(self, _command: str) -> None:
        self._closed.wait()
        raise paramiko.SSHException("Channel closed.")

    def close(self) -> None:
        self._closed.set()


def test_an_sshd_that_does_not_start_the_command_is_given_up() -> None:
    connection: Any = SimpleNamespace(
        user="root",
        config=SimpleNamespace(
            timeouts=SimpleNamespace(command=1), sudo=SimpleNamespace(password=None)
        ),
        create_session=Silent,
    )
    with pytest.raises(Trouble, match="no answer within 1 seconds"):
        Talk(connection, "main() { :; }")
