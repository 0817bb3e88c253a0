"""A machine that falls silent: nothing is waited for longer than a person has said."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from tasks.shell import Talk, Trouble


def connected(channel: Callable[[], Any]) -> Any:
    """A connection that opens such channels; an answer has a second to come."""
    return SimpleNamespace(
        user="root",
        config=SimpleNamespace(
            timeouts=SimpleNamespace(command=1), sudo=SimpleNamespace(password=None)
        ),
        create_session=channel,
    )


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
    with pytest.raises(Trouble, match="no answer within 1 seconds"):
        Talk(connected(Silent), "main() { :; }")


class Ended:
    """A channel that has said all there is to say, and stays open."""

    def __init__(self) -> None:
        self._said = [b""]

    def set_combine_stderr(self, _combine: bool) -> None:
        """As paramiko has it."""

    def settimeout(self, _seconds: float) -> None:
        """As paramiko has it."""

    def exec_command(self, command: str) -> None:
        nonce = command.partition("echo ")[2].partition("-ready")[0]
        said = f"{nonce}-ready\n\n{nonce}-begin\n== locked\nann\n\n{nonce}-end\n"
        self._said = [said.encode()]

    def sendall(self, _data: bytes) -> None:
        """As paramiko has it."""

    def recv(self, _size: int) -> bytes:
        if not self._said:
            raise TimeoutError
        return self._said.pop()

    def close(self) -> None:
        raise EOFError


def test_what_was_said_before_the_end_is_heard_at_once_and_a_channel_that_is_gone_closes() -> None:
    with Talk(connected(Ended), "main() { :; }") as talk:
        assert not talk.hear("== ready")
        assert talk.answer() == "== locked\nann\n"
