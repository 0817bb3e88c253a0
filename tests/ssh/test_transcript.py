"""The log of `fab --debug`: all that was said, line by line, and nothing that must stay secret."""

import logging
from collections.abc import Iterator

import pytest

from tasks.ssh.transcript import HIDDEN, Transcript


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "tasks.ssh"):
        yield caplog


def logged(log: pytest.LogCaptureFixture) -> list[str]:
    return [line for record in log.records for line in record.getMessage().split("\n") if line]


def test_each_line_has_the_machines_name_and_who_said_it(log: pytest.LogCaptureFixture) -> None:
    transcript = Transcript("worker-0")
    transcript.sent("main() {\n  ip route\n}\n")
    transcript.heard(b"default dev\teth0\n\n")
    transcript.failed(EOFError("gone"))
    assert logged(log) == [
        "worker-0 > main() {",
        "worker-0 >   ip route",
        "worker-0 > }",
        "worker-0 < default dev eth0",
        "worker-0 ! EOFError: gone",
    ]


def test_no_secret_is_logged_whoever_says_it(log: pytest.LogCaptureFixture) -> None:
    transcript = Transcript("worker-0", ["pass", "passw\x1brd", None, ""])
    transcript.sent("passw\x1brd\n")
    transcript.heard(b"+ echo passw\x1brd\r\npass\n")
    transcript.failed(ValueError("pass"))
    assert logged(log) == [
        f"worker-0 > {HIDDEN}",
        f"worker-0 < + echo {HIDDEN}?",
        f"worker-0 < {HIDDEN}",
        f"worker-0 ! ValueError: {HIDDEN}",
    ]


def test_nothing_speaks_to_the_terminal(log: pytest.LogCaptureFixture) -> None:
    transcript = Transcript("worker-0")
    transcript.heard(b"\x1b[2J\r\x9b31m\xff\x00 a\x0bb\xe2\x80\xa8c\xe2\x80\xae %s\nworker-1 < d")
    transcript.failed(ValueError("\x1b[2J\u202e"))
    lines = logged(log)
    assert all(line.isprintable() and line.startswith("worker-0 ") for line in lines)
    assert lines[-2:] == ["worker-0 < worker-1 < d", "worker-0 ! ValueError: ?[2J?"]


def test_without_debug_nothing_is_made(caplog: pytest.LogCaptureFixture) -> None:
    class Unread(bytes):
        def decode(self, *_: object) -> str:
            raise AssertionError

    with caplog.at_level(logging.INFO, "tasks.ssh"):
        Transcript("worker-0").heard(Unread(b"anything"))
        Transcript("worker-0").sent("main() { :; }")
    assert not caplog.records
