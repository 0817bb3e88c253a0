"""Scripts on one machine over an open connection, as root: run, or spoken to while they run.

The login shell is only asked to start `sh`, once a nonce has said that it is heard; scripts follow
on its stdin. What rc files print stays outside the answers, what they read is no script, sudo's
password prompt comes first, and a script that arrives torn runs nothing, because it is one
subshell. The shell is kept for the next script, since starting one costs more than most scripts.

This is paramiko's channel and not Fabric's `run`, which looks every 10 ms whether a command has
ended, and goes through all that it has said for every part of an answer.
"""

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

SESSION_TRIES = (0.1, 0.3, 1.0)  # seconds to wait where sshd's MaxSessions are all in use
TIMEOUT = 60  # seconds for one answer; Fabric's own --command-timeout sets another
MAX_ANSWER = 1 << 24  # bytes that a machine may say to one script, or before a shell answers


class Shell:
    """The shell of one connection; it is started when first used.

    A script is POSIX sh that defines `main`, whose stdin is /dev/null, and whose stderr is
    nobody's. SSH_CONNECTION is set, and `$$` is a process that outlives the script.

    All methods raise MachineError if no shell starts, if sudo is refused, or if no answer comes in
    time. They raise paramiko's exceptions if the connection breaks.
    """

    def __init__(self, connection: Connection, transcript: Transcript) -> None:
        """`connection` must be open when a script is run."""
        self.connection = connection
        self._transcript = transcript
        self._idle: _Wire | None = None

    def run(self, script: str, timeout: int = TIMEOUT) -> str:
        """What a script prints; waits so many seconds for it to end."""
        talk = self.talk(script, timeout)
        try:
            answer = talk.answer()
        except BaseException:
            talk.close()
            raise
        self._idle = talk.wire
        return answer

    def talk(self, script: str, timeout: int = TIMEOUT) -> "Talk":
        """A script, under way; waits so many seconds for each of its answers.

        The shell is gone with it: of what it is told too late, nothing must be left for another.
        """
        timeout = self.connection.config.timeouts.command or timeout
        wire, self._idle = self._idle, None
        if wire is None or wire.gone:
            wire = self._start(timeout)
        return Talk(wire, script, timeout)

    def _start(self, timeout: int) -> "_Wire":
        """Have the login shell start a shell that says so, with sudo where that is needed."""
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
        """A session; where one has to end first, sshd is asked again a little later."""
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


class Talk(AbstractContextManager["Talk"]):
    """A script under way on a machine until the block ends; descriptor 3 is where it listens."""

    def __init__(self, wire: "_Wire", script: str, timeout: int) -> None:
        """Send the script to a shell that waits for one."""
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

    def close(self) -> None:
        """Speak no more: what the script hears then is the end of its input."""
        self.wire.close()

    def hear(self, marker: str) -> bool:
        """Wait for a line that begins so; whether it came before the script has ended."""
        found = self.wire.wait_for([f"\n{marker}", self._end], self._timeout)
        return found.startswith(f"\n{marker}")

    def say(self, line: str) -> None:
        """Send the script a line."""
        self.wire.send(f"{line}\n", self._timeout)

    def ask(self, line: str, marker: str) -> str:
        """Send a line; what the script prints then until a line that begins so, or its end.

        Where no answer comes in time it is spoken to no more: a late one is none to the next line.
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
        """All that the script prints; waits until it has ended."""
        if self._end.encode() not in self.wire.heard:
            self.wire.wait_for([self._end], self._timeout)
        _, begun, rest = self.wire.text.partition(self._begin)
        answer, ended, _ = rest.partition(self._end)
        if not (begun and ended):
            raise MachineError("the answer broke off; ask again with `fab plan`")
        return _plain(answer)


class _Wire:
    """A channel to a process on a machine, and what was heard from it."""

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
        """Say something; raises MachineError where it is not taken in time."""
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
        """Have sshd start a command; paramiko would wait for its word on that for ever."""
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
        """Listen until one of these is said, and say which; empty where the process has ended."""
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
        """Have the channel wait that long; raises MachineError where it has."""
        left = deadline - monotonic()
        if left <= 0:
            raise MachineError(f"no answer within {timeout} seconds")
        self._channel.settimeout(left)


def _plain(answer: str) -> str:
    """An answer in printable lines; raises MachineError where one of them has no end."""
    try:
        return "\n".join(lines(answer))
    except ValueError as error:
        raise MachineError(str(error)) from error


def _command(nonce: str, sudo: bool, password: bool) -> str:
    """The command line for the login shell; it means the same to sh, fish and tcsh.

    Where that echoes it, as `set -x` does in an rc file, nothing in it looks like what is waited
    for: neither the line that says that sh is there nor sudo's prompt, where %% stands for %.
    """
    ready = f"printf '%s-ready\\n' {nonce}"
    if not sudo:
        return f'{ready}; exec sh -s -- "$SSH_CONNECTION"'
    inner = f'{ready}; exec sh -s -- "$@"'
    with_password = f"-S -p {nonce}%%password" if password else "-n"
    return f'exec sudo {with_password} sh -c {shlex.quote(inner)} sh "$SSH_CONNECTION"'


def _why_no_shell(output: str, sudo: bool) -> str:
    words = " ".join(output[-4000:].split())
    if sudo and "not in the sudoers" in words:
        return "this user may not use sudo there: log in as root, or as a user who may"
    if "Sorry, try again" in words or "not accepted" in words.lower():
        return "sudo does not accept the password"
    if sudo and ("password is required" in words or "terminal is required" in words):
        return "sudo wants a password: add --prompt-for-sudo-password in front of the task"
    if sudo and ("sudo: not found" in words or "sudo: command not found" in words):
        return "there is no sudo on it: install it, or log in as root"
    said = ascii(words[-200:]) if words else "nothing"
    return f"no shell answers there; it says {said}"
