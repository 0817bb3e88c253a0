"""A machine that falls silent: nothing is waited for longer than a person has said."""

import logging
import os
import re
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from tasks.ssh.errors import MachineError
from tasks.ssh.shell import Shell
from tasks.ssh.transcript import Transcript

TRANSCRIPT = Transcript("worker-0")


def connected(
    channel: Callable[[], Any], user: str = "root", password: str | None = None, seconds: int = 1
) -> Any:
    """A connection that opens such channels; an answer has so many seconds to come."""
    return SimpleNamespace(
        user=user,
        config=SimpleNamespace(
            timeouts=SimpleNamespace(command=seconds), sudo=SimpleNamespace(password=password)
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
    with pytest.raises(MachineError, match="no answer within 1 seconds"):
        Shell(connected(Silent), TRANSCRIPT).run("main() { :; }")


class Local:
    """A channel to a login shell on this machine, as sshd starts it."""

    def __init__(self) -> None:
        self.closed = self.eof_received = False
        self._seconds: float | None = None
        self.shell: subprocess.Popen[bytes] | None = None

    def set_combine_stderr(self, _combine: bool) -> None:
        """As paramiko has it."""

    def settimeout(self, seconds: float) -> None:
        self._seconds = seconds

    def exec_command(self, command: str) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            self.shell = subprocess.Popen(
                ["bash", "-c", command],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=theirs.fileno(),
                env={"PATH": os.environ["PATH"], "SSH_CONNECTION": "198.51.100.7 1 127.0.0.1 22"},
            )

    def send(self, data: bytes) -> int:
        self._ours.settimeout(self._seconds)
        return self._ours.send(data)

    def get_transport(self) -> "Local":
        return self  # closes with it

    def recv(self, size: int) -> bytes:
        self._ours.settimeout(self._seconds)
        data = self._ours.recv(size)
        self.eof_received = not data
        return data

    def close(self) -> None:
        self.closed = True
        self._ours.close()
        if self.shell is not None:
            self.shell.wait(10)


@pytest.fixture
def local() -> Iterator[tuple[Shell, list[Local]]]:
    """A shell on this machine, and the channels that were opened for it."""
    channels: list[Local] = []

    def channel() -> Local:
        channels.append(Local())
        return channels[-1]

    yield Shell(connected(channel), TRANSCRIPT), channels
    for made in channels:
        made.close()


def test_scripts_share_a_shell_and_nothing_else(local: tuple[Shell, list[Local]]) -> None:
    shell, channels = local
    first = "main() { kept=1; trap '' TERM; echo $$ $SSH_CONNECTION; cat; echo no >&2; }"
    second = "main() { echo $$ $kept; }"
    number, client, *_ = shell.run(first).split()
    assert client == "198.51.100.7"
    assert shell.run(second).split() == [number]
    assert len(channels) == 1


def test_with_debug_what_is_said_is_logged(
    local: tuple[Shell, list[Local]], caplog: pytest.LogCaptureFixture
) -> None:
    shell, _ = local
    dialogue = "main() { echo; echo '== ready'; read -r word <&3; echo \"heard $word\"; }"
    with caplog.at_level(logging.DEBUG, "tasks.ssh"), shell.start(dialogue) as running:
        running.hear("== ready")
        running.say("one")
        running.answer()
    lines = caplog.text.splitlines()
    said = [f"worker-0 > {dialogue}", "worker-0 < == ready", "worker-0 > one"]
    assert [line for line in lines if line in said] == said
    assert "worker-0 < heard one" in lines


def test_what_came_before_a_timeout_is_logged(
    local: tuple[Shell, list[Local]], caplog: pytest.LogCaptureFixture
) -> None:
    shell, _ = local
    with caplog.at_level(logging.DEBUG, "tasks.ssh"), pytest.raises(MachineError):
        shell.run("main() { echo half; sleep 2; }")
    assert "worker-0 < half" in caplog.text.splitlines()


def test_a_script_that_is_spoken_to_hears_the_end(local: tuple[Shell, list[Local]]) -> None:
    shell, channels = local
    heard = """main() {
      while echo; echo "== ready"; read -r word <&3; do echo "heard $word"; done
    }"""
    shell.run("main() { :; }")
    with shell.start(heard) as running:
        assert running.hear("== ready")
        assert running.ask("one", "== ready") == "\nheard one\n"
        assert running.ask("two", "== ready") == "\nheard two\n"
    assert shell.run("main() { echo again; }") == "again\n"
    assert len(channels) == 2


def test_a_late_answer_is_none_to_the_next_line(local: tuple[Shell, list[Local]]) -> None:
    shell, _ = local
    slow = "main() { while echo; echo '== ready'; read -r seconds <&3; do sleep $seconds; done; }"
    with shell.start(slow, timeout=1) as running:
        assert running.hear("== ready")
        with pytest.raises(MachineError, match="no answer within 1 seconds"):
            running.ask("2", "== ready")
        with pytest.raises(OSError, match="file descriptor"):
            running.ask("0", "== ready")


def test_what_was_said_before_the_end_is_heard_at_once(local: tuple[Shell, list[Local]]) -> None:
    shell, _ = local
    with shell.start("main() { echo '== locked'; echo ann; }") as running:
        assert not running.hear("== ready")
        assert running.answer() == "== locked\nann\n"


@pytest.mark.parametrize(
    "script",
    ["main() { echo half; kill -9 $(sh -c 'echo $PPID'); }", "main() { echo half; exit 3; }"],
)
def test_a_script_that_is_ended_gives_no_answer(
    local: tuple[Shell, list[Local]], script: str
) -> None:
    shell, channels = local
    with pytest.raises(MachineError, match="broke off"):
        shell.run(script)
    assert shell.run("main() { echo well; }") == "well\n"
    assert len(channels) == 2


def test_a_script_that_arrives_torn_runs_nothing(
    local: tuple[Shell, list[Local]], tmp_path: Path
) -> None:
    shell, channels = local
    shell.run("main() { :; }")
    channels[0].send(f"(\ntouch {tmp_path}/harm\nmain() {{ :; }}\n".encode())
    channels[0].close()
    assert not (tmp_path / "harm").exists()


def test_a_channel_that_is_gone_closes() -> None:
    class Gone(Silent):
        def exec_command(self, _command: str) -> None:
            raise EOFError

        def close(self) -> None:
            raise EOFError

    with pytest.raises(EOFError):
        Shell(connected(Gone), TRANSCRIPT).run("main() { :; }")


# What sudo 1.9.13 prints, and in German what the same means; and sudo-rs 0.2, by its source.
WANTED = "sudo wants a password: add --prompt-for-sudo-password"
REFUSED = "this user may not use sudo there"
WRONG = "sudo does not accept the password"
SUDO = {
    "sudo: a password is required": WANTED,
    "sudo: interactive authentication is required": WANTED,
    "sudo: Interaction is required": WANTED,
    "sudo: A terminal is required to authenticate": WANTED,
    "ops is not in the sudoers file.": REFUSED,
    "Sorry, user ops is not allowed to execute '/usr/bin/sh' as root on w.": REFUSED,
    "Sorry, user ops may not run sudo on w.": REFUSED,
    "sudo: I'm sorry ops. I'm afraid I can't do that": REFUSED,
    "sudo: Authentication failed, try again.": WRONG,
    "sudo: Maximum 3 incorrect authentication attempts": WRONG,
    "sudo: 3 incorrect password attempts": WRONG,
    "sudo: sorry, you must have a tty to run sudo": "remove requiretty",
    "sudo: /etc/sudo.conf is world writable": "sudo: /etc/sudo.conf is world writable",
}


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that puts a program of that name in front of the real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(text: str) -> None:
        (tmp_path / "sudo").write_text(f"#!/bin/sh\n{text}")
        (tmp_path / "sudo").chmod(0o755)

    return put


@pytest.mark.parametrize(("words", "why"), SUDO.items())
def test_what_sudo_says_is_told_in_plain_words(
    words: str, why: str, sudo: Callable[[str], None]
) -> None:
    spoken = f"[ \"$LC_ALL\" = C ] && echo {shlex.quote(words)} || echo 'sudo: Passwort, bitte'"
    sudo(f"{spoken}\nexit 1\n")
    with pytest.raises(MachineError, match=re.escape(why)):
        Shell(connected(Local, "ops", seconds=30), TRANSCRIPT).run("main() { :; }")


@pytest.mark.parametrize("prompt", ["", "[sudo: "])
def test_a_password_goes_to_sudo_alone(prompt: str, sudo: Callable[[str], None]) -> None:
    """sudo-rs puts the prompt that it is given into one of its own."""
    asking = f"""[ "$1 $2" = "-S -p" ] || exit 2
printf '%s%s' '{prompt}' "$(printf '%s' "$3" | sed 's/%%/%/')"
read -r typed
[ "$typed" = a-secret ] || exit 1
shift 3
exec "$@"
"""
    sudo(asking)
    shell = Shell(connected(Local, "ops", "a-secret", 30), TRANSCRIPT)
    assert shell.run('main() { echo "$SSH_CONNECTION"; }') == "198.51.100.7 1 127.0.0.1 22\n"


def test_a_machine_without_sudo_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bash", "env", "sh"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="there is no sudo on it"):
        Shell(connected(Local, "ops", seconds=30), TRANSCRIPT).run("main() { :; }")
