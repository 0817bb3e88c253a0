"""One script on one machine over an open connection, as root: run, or spoken to while it runs.

The login shell is only asked to start `sh`, which says a nonce when it is ready; the script
follows on its stdin. What rc files print stays outside the answer, what they read is not the
script, sudo's password prompt comes first, and a script that arrives torn runs nothing,
because only its last line calls anything.

This is paramiko's channel and not Fabric's `run`, which looks every 10 ms whether a command has
ended, and goes through all that it has said for every part of an answer.
"""

import secrets
import shlex
from contextlib import AbstractContextManager, suppress
from threading import Timer
from time import monotonic

import paramiko
from fabric import Connection

TIMEOUT = 60  # seconds for one answer; Fabric's own --command-timeout sets another

# Nothing that a machine says may speak to the operator's terminal (ECMA-48, C0 and C1).
_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\t"), ord("\n")}, " ")


class Trouble(Exception):
    """A machine that cannot be asked: one plain line, what is wrong and what to do."""


class Talk(AbstractContextManager["Talk"]):
    """The shell function `main` of a script, under way on a machine until the block ends.

    The script is POSIX sh that defines `main`; its stdin is /dev/null, its stderr is nobody's,
    descriptor 3 is where it is spoken to. SSH_CONNECTION is set.

    Raises Trouble where no shell or no sudo is to be had or an answer does not come, and what
    paramiko raises where the connection breaks.
    """

    def __init__(self, connection: Connection, script: str, timeout: int = TIMEOUT) -> None:
        """`timeout`: seconds to wait for each answer."""
        nonce = secrets.token_hex(8)
        self._begin, self._end = f"\n{nonce}-begin\n", f"\n{nonce}-end\n"
        self._timeout = connection.config.timeouts.command or timeout
        self._sudo = connection.user != "root"
        self._heard = bytearray()
        self._at = 0  # how far it was listened to
        self._channel = connection.create_session()
        try:
            self._channel.set_combine_stderr(True)
            self._start(nonce, connection.config.sudo.password)
            self._channel.sendall(
                "unset TMOUT\n"  # where sh is bash, it would end what waits to be spoken to
                "PATH=$PATH:/usr/sbin:/sbin LC_ALL=C SSH_CONNECTION=$1\nexport PATH LC_ALL\n"
                f"{script}\n"
                f"echo; echo {nonce}-begin; main 3<&0 </dev/null 2>/dev/null;"
                f" echo; echo {nonce}-end; exit 0\n".encode()
            )
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Speak no more: what the script hears then is the end of its input."""
        with suppress(OSError, EOFError, paramiko.SSHException):  # it is gone already
            self._channel.close()

    def hear(self, marker: str) -> bool:
        """Wait for a line that begins so; whether it came before the script has ended."""
        found = self._wait_for(f"\n{marker}", self._end)
        return found.startswith(f"\n{marker}")

    def say(self, line: str) -> None:
        """Send the script a line."""
        self._channel.sendall(f"{line}\n".encode())

    def ask(self, line: str, marker: str) -> str:
        """Send a line; what the script prints then until a line that begins so, or its end."""
        start = self._at
        self.say(line)
        if not self._wait_for(f"\n{marker}", self._end):
            raise Trouble("the answer broke off; ask again with `fab plan`")
        said = self._heard[start : self._at].decode("utf-8", "replace")
        return said.rpartition("\n")[0].translate(_CONTROLS)

    def answer(self) -> str:
        """All that the script prints; waits until it has ended."""
        if self._end.encode() not in self._heard:
            self._wait_for(self._end)
        said = self._heard.decode("utf-8", "replace")
        before, begun, rest = said.partition(self._begin)
        answer, ended, _ = rest.partition(self._end)
        if ended:
            return answer.translate(_CONTROLS)
        if begun:
            raise Trouble("the answer broke off; ask again with `fab plan`")
        raise Trouble(_why_no_shell(before, self._sudo))

    def _start(self, nonce: str, password: str | None) -> None:
        """Have the login shell start a shell that says so, with sudo where that is needed."""
        prompt = f"{nonce}-password" if self._sudo and password else None
        ready = f"{nonce}-ready\n"
        self._exec(_command(nonce, prompt, self._sudo))
        words = [ready, *([prompt] if prompt else [])]
        found = self._wait_for(*words)
        if prompt and found == prompt:
            self._channel.sendall(f"{password}\n".encode())
            found = self._wait_for(*words)
        if prompt and found == prompt:
            raise Trouble("sudo does not accept the password")
        if found != ready:
            raise Trouble(_why_no_shell(self._heard.decode("utf-8", "replace"), self._sudo))

    def _exec(self, command: str) -> None:
        """Have sshd start a command; paramiko would wait for its word on that for ever."""
        started = monotonic()
        silence = Timer(self._timeout, self.close)
        silence.start()
        try:
            self._channel.exec_command(command)
        except paramiko.SSHException as error:
            if monotonic() - started < self._timeout:
                raise
            raise Trouble(f"no answer within {self._timeout} seconds") from error
        finally:
            silence.cancel()

    def _wait_for(self, *words: str) -> str:
        """Listen until one of these is said, and say which; empty where the shell has ended."""
        deadline = monotonic() + self._timeout
        wanted = [word.encode() for word in words]
        longest = max(map(len, wanted))
        while True:
            found = [(at, word) for word in wanted if (at := self._heard.find(word, self._at)) >= 0]
            if found:
                at, word = min(found)
                self._at = at + len(word.rstrip(b"\n"))  # the end of a line begins the next
                return word.decode()
            self._at = max(self._at, len(self._heard) - longest)
            self._channel.settimeout(max(0.001, deadline - monotonic()))
            try:
                data = self._channel.recv(1 << 16)
            except TimeoutError as error:
                raise Trouble(f"no answer within {self._timeout} seconds") from error
            if not data:
                return ""
            self._heard += data


def run(connection: Connection, script: str, timeout: int = TIMEOUT) -> str:
    """Run the shell function `main` of a script, and return what it prints; raises as Talk does."""
    with Talk(connection, script, timeout) as talk:
        return talk.answer()


def _command(nonce: str, prompt: str | None, sudo: bool) -> str:
    """The command line for the login shell; it means the same to sh, fish and tcsh."""
    inner = f'echo {nonce}-ready; exec sh -s -- "$@"'
    start = f"sh -c {shlex.quote(inner)} sh"
    if prompt is not None:
        start = f"sudo -S -p {prompt} {start}"
    elif sudo:
        start = f"sudo -n {start}"
    return f'exec {start} "$SSH_CONNECTION"'


def _why_no_shell(output: str, sudo: bool) -> str:
    words = " ".join(output.split())
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
