"""Scripts on one machine, run as root over an open connection.

The login shell only starts `sh`, which prints a nonce. Scripts are sent to its stdin after that.
So the output of rc files is no part of an answer, rc files cannot read a script, and sudo asks for
its password first. A script is one subshell: if it arrives incomplete, nothing of it runs. The
shell is kept for the next script, because starting one costs more than most scripts.

This uses paramiko's channel. Fabric's `run` polls every 10 ms, and searches the whole output again
for every part of it.
"""

import re
import secrets
import shlex
from contextlib import AbstractContextManager, suppress
from threading import Timer
from time import monotonic, sleep

import paramiko
from fabric import Connection

from tasks.common.values import lines

from .errors import MachineError
from .transcript import Transcript

SESSION_TRIES = (0.1, 0.3, 1.0)  # seconds to wait while sshd's MaxSessions are all in use
TIMEOUT = 60  # seconds for one answer; Fabric's own --command-timeout sets another
MAX_ANSWER = 1 << 24  # bytes that a machine may say to one script, or before a shell answers


class Shell:
    """The shell of one connection; it is started when first used.

    A script is POSIX sh that defines `main`. Its stdin and stderr are /dev/null. SSH_CONNECTION is
    set, and `$$` is a process that outlives the script.

    All methods raise MachineError if no shell starts, if sudo is refused, or if no answer comes in
    time. They raise paramiko's exceptions if the connection breaks.
    """

    def __init__(self, connection: Connection, transcript: Transcript) -> None:
        """`connection` must be open when a script is run."""
        self.connection = connection
        self._transcript = transcript
        self._idle: _Wire | None = None

    def run(self, script: str, timeout: int = TIMEOUT) -> str:
        """Run a script; what it prints. `timeout`: seconds to wait for its end."""
        running = self.start(script, timeout)
        try:
            answer = running.answer()
        except BaseException:
            running.close()
            raise
        self._idle = running.wire
        return answer

    def start(self, script: str, timeout: int = TIMEOUT) -> "RunningScript":
        """Start a script that is sent lines. `timeout`: seconds to wait for each of its answers.

        The shell ends with the script, so that no later script reads a line meant for this one.
        """
        timeout = self.connection.config.timeouts.command or timeout
        wire, self._idle = self._idle, None
        if wire is None or wire.gone:
            wire = self._start(timeout)
        return RunningScript(wire, script, timeout)

    def _start(self, timeout: int) -> "_Wire":
        """Start `sh`, through sudo if the user is not root, and wait until it is ready."""
        nonce = secrets.token_hex(8)
        sudo = self.connection.user != "root"
        password = self.connection.config.sudo.password
        prompt = f"{nonce}%password" if sudo and password else None
        ready = f"{nonce}-ready\n"
        words = [ready, *([prompt] if prompt else [])]
        wire = _Wire(self._session(), self._transcript)
        try:
            wire.execute(_command(nonce, sudo, bool(prompt)), timeout)
            found = wire.wait_for(words, timeout)
            if prompt and found == prompt:
                wire.send(f"{password}\n", timeout)
                found = wire.wait_for(words, timeout)
            if prompt and found == prompt:
                raise MachineError("sudo does not accept the password")
            if found != ready:
                raise MachineError(_why_no_shell(wire.text, sudo))
            wire.send(
                "unset TMOUT\n"  # where sh is bash, it would end what waits to be spoken to
                "PATH=$PATH:/usr/sbin:/sbin LC_ALL=C SSH_CONNECTION=$1\nexport PATH LC_ALL\n",
                timeout,
            )
        except BaseException:
            wire.close()
            raise
        return wire

    def _session(self) -> paramiko.Channel:
        """Open a session. If sshd has too many (MaxSessions), try again a few times."""
        for pause in (*SESSION_TRIES, None):
            try:
                channel: paramiko.Channel = self.connection.create_session()
                return channel
            except paramiko.ChannelException:
                if pause is not None:
                    sleep(pause)
        raise MachineError(
            "sshd there allows no further session on a connection: set MaxSessions 4 or more in its"
            " sshd_config, or use --no-ping"
        )


class RunningScript(AbstractContextManager["RunningScript"]):
    """A running script; it reads lines from descriptor 3. The end of the block closes it."""

    def __init__(self, wire: "_Wire", script: str, timeout: int) -> None:
        """Send the script to an idle shell."""
        nonce = secrets.token_hex(8)
        self._begin, self._end = f"\n{nonce}-begin\n", f"\n{nonce}-end\n"
        self._timeout = timeout
        self.wire = wire
        wire.forget()
        try:
            wire.send(
                f"(\n{script}\n"
                f"printf '\\n%s-begin\\n' {nonce}; main 3<&0 </dev/null 2>/dev/null\n"
                f"printf '\\n%s-end\\n' {nonce}\n) || exit\n",
                timeout,
            )
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def over(self) -> bool:
        """Whether the script's end was heard."""
        return self.wire.heard.endswith(self._end.encode())

    def close(self) -> None:
        """Close the channel: the script reads the end of its input."""
        self.wire.close()

    def hear(self, marker: str) -> bool:
        """Wait for a line that begins with the marker; False if the script ended first."""
        found = self.wire.wait_for([f"\n{marker}", self._end], self._timeout)
        return found.startswith(f"\n{marker}")

    def say(self, line: str) -> None:
        """Send the script a line."""
        self.wire.send(f"{line}\n", self._timeout)

    def ask(self, line: str, marker: str) -> str:
        """Send a line; what the script then prints until a line with the marker, or its end.

        If no answer comes in time, this closes the channel: a late answer must not be taken for
        the answer to the next line.
        """
        start = self.wire.at
        try:
            self.say(line)
            if not self.wire.wait_for([f"\n{marker}", self._end], self._timeout):
                raise MachineError("the answer broke off; ask again with `fab plan`")
        except BaseException:
            self.close()
            raise
        said = self.wire.heard[start : self.wire.at].decode("utf-8", "replace")
        return _plain(said.rpartition("\n")[0])

    def answer(self) -> str:
        """Wait until the script has ended; all that it printed."""
        if self._end.encode() not in self.wire.heard:
            self.wire.wait_for([self._end], self._timeout)
        _, begun, rest = self.wire.text.partition(self._begin)
        answer, ended, _ = rest.partition(self._end)
        if not (begun and ended):
            raise MachineError("the answer broke off; ask again with `fab plan`")
        return _plain(answer)


class _Wire:
    """A channel to a process on a machine, and the data received from it."""

    def __init__(self, channel: paramiko.Channel, transcript: Transcript) -> None:
        self._channel = channel
        self._transcript = transcript
        channel.set_combine_stderr(True)
        self.forget()

    @property
    def gone(self) -> bool:
        """Whether the process has ended, or the connection."""
        return bool(self._channel.closed or self._channel.eof_received)

    @property
    def text(self) -> str:
        """All that was heard."""
        return self.heard.decode("utf-8", "replace")

    def forget(self) -> None:
        """Forget what was heard."""
        self.heard = bytearray()
        self.at = 0  # how far it was listened to

    def close(self) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):  # it is gone already
            self._channel.close()

    def send(self, text: str, timeout: float) -> None:
        """Send text. Raises MachineError if the machine does not accept it in time."""
        self._transcript.sent(text)
        deadline = monotonic() + timeout
        data = text.encode()
        while data:
            self._wait_until(deadline, timeout)
            try:
                data = data[self._channel.send(data) :]
            except TimeoutError:
                continue

    def execute(self, command: str, timeout: float) -> None:
        """Have sshd start a command. Unlike paramiko, wait only so long for its answer."""
        self._transcript.sent(command)
        started = monotonic()
        silence = Timer(timeout, self.close)
        silence.daemon = True
        silence.start()
        try:
            self._channel.exec_command(command)
        except paramiko.SSHException as error:
            if monotonic() - started < timeout:
                raise
            raise MachineError(f"no answer within {timeout} seconds") from error
        finally:
            silence.cancel()

    def wait_for(self, words: list[str], timeout: float) -> str:
        """Wait until one of these words comes; that word, or "" if the process ended first."""
        before = len(self.heard)
        try:
            return self._listen(words, timeout)
        finally:
            self._transcript.heard(self.heard[before:])

    def _listen(self, words: list[str], timeout: float) -> str:
        deadline = monotonic() + timeout
        wanted = [word.encode() for word in words]
        longest = max(map(len, wanted))
        while True:
            found = [(at, word) for word in wanted if (at := self.heard.find(word, self.at)) >= 0]
            if found:
                at, word = min(found)
                self.at = at + len(word.rstrip(b"\n"))  # the end of a line begins the next
                return word.decode()
            self.at = max(self.at, len(self.heard) - longest)
            self._wait_until(deadline, timeout)
            try:
                data = self._channel.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                return ""
            self.heard += data
            if len(self.heard) > MAX_ANSWER:
                self._channel.get_transport().close()  # it may go on for ever
                raise MachineError(f"it says more than {MAX_ANSWER >> 20} MiB, which is no answer")

    def _wait_until(self, deadline: float, timeout: float) -> None:
        """Set the channel's timeout to the time left. Raises MachineError if none is left."""
        left = deadline - monotonic()
        if left <= 0:
            raise MachineError(f"no answer within {timeout} seconds")
        self._channel.settimeout(left)


def _plain(answer: str) -> str:
    """An answer in printable lines. Raises MachineError if a line is too long."""
    try:
        return "\n".join(lines(answer))
    except ValueError as error:
        raise MachineError(str(error)) from error


def _command(nonce: str, sudo: bool, password: bool) -> str:
    """The command line for the login shell; it means the same to sh, fish and tcsh.

    An rc file may echo it (`set -x`). So it contains neither the line that means that sh is ready
    nor sudo's prompt, in which %% stands for %.
    """
    ready = f"printf '%s-ready\\n' {nonce}"
    if not sudo:
        return f'{ready}; exec sh -s -- "$SSH_CONNECTION"'
    inner = f'{ready}; exec sh -s -- "$@"'
    with_password = f"-S -p {nonce}%%password" if password else "-n"
    as_root = f'exec sudo {with_password} sh -c {shlex.quote(inner)} sh "$SSH_CONNECTION"'
    # A sudo that is told its language can be understood, and so can the sh that does not find one.
    return f"exec env LC_ALL=C sh -c {shlex.quote(as_root)}"


# What sudo says, and sudo-rs, if they are told to speak English.
_WHY_NO_ROOT = {
    r"not in the sudoers|is not allowed to execute|may not run|I'm afraid I can't do that": (
        "this user may not use sudo there: log in as root, or as a user who may"
    ),
    r"Sorry, try again|[Nn]ot accepted|[Aa]uthentication failed|incorrect .*attempt": (
        "sudo does not accept the password"
    ),
    r"(password|terminal|authentication|[Ii]nteraction) is required": (
        "sudo wants a password: add --prompt-for-sudo-password in front of the task"
    ),
    r"must have a tty": ("sudo wants a terminal: remove requiretty from its sudoers"),
    r"sudo: (command )?not found": "there is no sudo on it: install it, or log in as root",
}


def _why_no_shell(output: str, sudo: bool) -> str:
    words = " ".join(output[-4000:].split())
    for pattern, why in _WHY_NO_ROOT.items():
        if sudo and re.search(pattern, words):
            return why
    said = ascii(words[-200:]) if words else "nothing"
    return f"no shell answers there; it says {said}"
