"""An SSH connection that bounds what its other end can take: memory, waiting, descriptors.

Fabric's and paramiko's own trust it further: a packet may announce 4 GB, a channel's window is not
enforced, a packet that nobody takes is offered for ever, and what could not be opened stays open.
"""

import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any

import fabric
import paramiko
from paramiko.buffered_pipe import BufferedPipe
from paramiko.packet import Packetizer

MAX_PACKET = 1 << 18  # bytes: OpenSSH's PACKET_MAX_SIZE
PATIENCE = 30  # seconds for the other end to take one packet
PROXY_FILES = 5  # open while a ProxyCommand is started: two ends, two of a pipe, /dev/null


class Connection(fabric.Connection):  # type: ignore[misc]  # Fabric has no types
    """Fabric's connection; what it has opened is closed, also where it was never connected."""

    _proxy: subprocess.Popen[bytes] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Fabric's, but for `connect_kwargs`, which are to be set afterwards."""
        # Without any, Fabric adds the host's IdentityFile to those that all hosts share.
        super().__init__(*args, connect_kwargs={"key_filename": ()}, **kwargs)

    @property
    def files(self) -> int:
        """How many files are open here, at most, for it to be opened and used."""
        agent = 1 if self.connect_kwargs.get("allow_agent") else 0
        return agent + (PROXY_FILES if isinstance(self.gateway, str) else 1)

    def open(self) -> None:
        """Connect and log in; where that fails, nothing is left of it."""
        try:
            super().open()
        except BaseException:
            self.close()
            raise

    def open_gateway(self) -> Any:
        """A socket, or a channel, that leads to the machine over a ProxyCommand or a jump host."""
        if isinstance(self.gateway, str):
            return self._start_proxy(self.gateway)
        return super().open_gateway()

    def create_session(self) -> paramiko.Channel:
        """A session, whose window counts."""
        channel: paramiko.Channel = super().create_session()
        channel.in_buffer = _Window(channel.in_window_size)
        return channel

    def close(self) -> None:
        """End it, connected or not."""
        with suppress(OSError, EOFError, paramiko.SSHException):  # it is gone already
            super().close()
            self.client.close()
        if self._proxy is not None:
            self._proxy.terminate()
            self._proxy.poll()
            self._proxy = None

    def _start_proxy(self, command: str) -> socket.socket:
        """Run a ProxyCommand as ssh_config(5) says, in the shell.

        Ctrl-C and a terminal that has gone are for us to hear: a machine may be in a change.
        """
        config = paramiko.SSHConfig.from_text(f"Host *\n  ProxyCommand {command}\n")
        words = config.lookup(self.host)["proxycommand"]
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._proxy = subprocess.Popen(
                    ["/bin/sh", "-c", f"trap '' INT HUP; exec {words}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                )
        except BaseException:
            ours.close()
            raise
        return ours


class JumpHost(Connection):
    """A connection that others go through; several may want it opened at the same time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._set(opening=Once())


class Once:
    """What several threads want done at the same time: one does it, and all share what came of it.

    Who comes later has it done anew.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._times = 0
        self._failure: Exception | None = None

    def do(self, act: Callable[[], None]) -> None:
        """Have it done; raises what it raised."""
        before = self._times
        with self._lock:
            if self._times == before or self._failure is None:
                self._failure = None
                try:
                    act()
                except Exception as error:
                    self._failure = error
                self._times += 1
            failure = self._failure
        if failure is not None:
            raise failure


class Bounded(Packetizer):
    """Reads and writes packets of a bounded size, within a bounded time."""

    def __init__(self, sock: Any) -> None:
        self._patient = _Patient(sock)
        super().__init__(self._patient)  # type: ignore[arg-type]  # it wants these three only

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """So many bytes of a packet."""
        if n > MAX_PACKET:
            raise paramiko.SSHException(f"announces a packet of {n} bytes")
        return super().read_all(n, check_rekey)

    def write_all(self, out: Any) -> None:
        """Write a packet."""
        self._patient.until = monotonic() + PATIENCE
        super().write_all(out)


class _Patient:
    """A socket, or a channel, that is broken once a packet was not taken in time."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.recv, self.close = sock.recv, sock.close
        self.until = 0.0

    def send(self, data: bytes) -> int:
        if monotonic() > self.until:
            raise BrokenPipeError
        return int(self._sock.send(data))


class _Window(BufferedPipe):  # type: ignore[type-arg]  # it is generic in its stubs only
    """What has come on a channel and was not read yet: no more than was allowed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def feed(self, data: bytes | str) -> None:
        """Take more."""
        if len(self) + len(data) > self._size:
            raise paramiko.SSHException("sends more than it may")
        super().feed(data)
