"""A ProxyCommand of ssh_config(5): a program that leads to a machine, often through a bastion."""

import os
import re
import socket
import subprocess
from threading import Thread
from typing import IO

import paramiko

PATIENCE = 3  # seconds for a program that has closed its end to end itself
MAX_SAID = 1 << 12  # bytes that are kept of what it says last

_TOKEN = re.compile(r"%[%hnpr]")
_BY_SHELL = re.compile(r"^/bin/sh: (line )?[0-9]+: (exec: )?")
_NOISE = re.compile(r"^Warning: Permanently added ")
# ssh(1), where sshd ends the connection before it has shown its key, as MaxStartups makes it do.
_TURNED_AWAY = re.compile(r"kex_exchange_identification|Connection (closed|reset) by")
_NO_PROGRAM = (126, 127)  # exit statuses of sh(1)


class ProxyFailed(paramiko.SSHException):
    """The program has failed; the text says how, without the machine that it was to lead to."""

    def __init__(self, message: str, busy: bool = False) -> None:
        """`busy`: whether it may succeed a moment later."""
        super().__init__(message)
        self.busy = busy


def expanded(command: str, host: str, name: str, port: int, user: str) -> str:
    """The command with its tokens replaced. `name`: the host as it was given."""
    by_token = {"%%": "%", "%h": host, "%n": name, "%p": str(port), "%r": user}
    return _TOKEN.sub(lambda found: by_token[found[0]], command)


def program(command: str) -> str:
    """What messages call a ProxyCommand: its program, because its arguments may hold a secret."""
    return next((word for word in command.split() if word != "exec" and "=" not in word), "")


class Proxy:
    """The running program. `socket` leads to the machine."""

    def __init__(self, command: str) -> None:
        """Run the command in the shell, as ssh_config(5) says. Its tokens are replaced already.

        It ignores SIGINT and SIGHUP: fab handles those itself, since a change may be under way.
        """
        self._program = program(command)
        self.socket, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", f"trap '' INT HUP; exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                )
        except BaseException:
            self.socket.close()
            raise
        assert self._process.stderr is not None
        self._said = b""
        self._listener = Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    def close(self) -> None:
        """End the program."""
        self._process.terminate()
        self._process.poll()

    def failure(self) -> ProxyFailed | None:
        """How the program has failed; None if it runs on, or ended well: then it was the machine.

        Waits a moment for its end.
        """
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        self._listener.join(PATIENCE)
        lines = [line.strip() for line in self._said.decode("utf-8", "replace").splitlines()]
        told = [_BY_SHELL.sub("", line) for line in lines if line and not _NOISE.match(line)]
        said = "; ".join(told[-2:])
        if status == 0:
            return None
        if status in _NO_PROGRAM:
            return ProxyFailed(f"its ProxyCommand cannot be run: {said}")
        how = f"with status {status}" if status > 0 else f"by signal {-status}"
        return ProxyFailed(
            f"its ProxyCommand ({self._program}) ends {how}: {said or 'it says nothing'}",
            busy=_TURNED_AWAY.search(said) is not None,
        )

    def _listen(self, stderr: IO[bytes]) -> None:
        """Keep the end of what the program says. It would wait if nobody read it."""
        with stderr:
            while data := os.read(stderr.fileno(), MAX_SAID):
                self._said = (self._said + data)[-MAX_SAID:]
