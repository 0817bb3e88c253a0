"""An SSH connection that limits the memory, time and descriptors that a machine can make us use.

Fabric and paramiko do not: they accept a packet of 4 GB, do not enforce a channel's window, try to
send a packet for ever, and leave files open when a connection fails.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any

import fabric
import paramiko
from paramiko.buffered_pipe import BufferedPipe
from paramiko.packet import Packetizer

from .errors import Preamble, turned_away
from .proxy import Proxy, expanded

MAX_PACKET = 1 << 18  # bytes: OpenSSH's PACKET_MAX_SIZE
PATIENCE = 30  # seconds for the other end to take one packet
PROXY_FILES = 6  # open while a ProxyCommand is started: two ends, and two of each of two pipes


class Connection(fabric.Connection):  # type: ignore[misc]  # Fabric has no types
    """Fabric's connection. `close` closes all its files, even if it never connected."""

    _proxy: Proxy | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Fabric's, except that `connect_kwargs` must be set afterwards."""
        # Without any, Fabric adds the host's IdentityFile to those that all hosts share.
        super().__init__(*args, connect_kwargs={"key_filename": ()}, **kwargs)

    @property
    def files(self) -> int:
        """The most files that this process has open for this connection."""
        return PROXY_FILES if isinstance(self.gateway, str) else 1

    def open(self) -> None:
        """Connect and log in. If that fails, close everything and raise the error.

        Raises ProxyFailed if the ProxyCommand is why it fails.
        """
        try:
            super().open()
        except BaseException as error:
            blame = isinstance(error, Exception) and turned_away(error)
            failure = self._proxy.failure() if blame and self._proxy else None
            self.close()
            if failure is not None:
                raise failure from error
            raise

    def open_gateway(self) -> Any:
        """A socket, or a channel, that leads to the machine over a ProxyCommand or a jump host."""
        if isinstance(self.gateway, str):
            names = (self.host, self.original_host, self.port, self.user)
            self._proxy = Proxy(expanded(self.gateway, *names))
            return self._proxy.socket
        return super().open_gateway()

    def create_session(self) -> paramiko.Channel:
        """A session that enforces its window."""
        channel: paramiko.Channel = super().create_session()
        channel.in_buffer = _Window(channel.in_window_size)
        return channel

    def close(self) -> None:
        """Close the connection, whether it is connected or not."""
        with suppress(OSError, EOFError, paramiko.SSHException):  # it is gone already
            super().close()
            self.client.close()
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


class JumpHost(Connection):
    """A connection that others go through. Several threads may open it at the same time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._set(opening=Once())


class Once:
    """An action that several threads want at the same time: one does it, all share the result.

    A thread that comes later does the action again.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._times = 0
        self._failure: Exception | None = None

    def do(self, act: Callable[[], None]) -> None:
        """Do the action, or wait for the thread that does. Raises what the action raised."""
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
    """Reads packets of a limited size, and writes packets within a limited time."""

    def __init__(self, sock: Any) -> None:
        self._patient = _Patient(sock)
        self._preamble = ""
        super().__init__(self._patient)  # type: ignore[arg-type]  # it wants these three only

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read `n` bytes of a packet."""
        if n > MAX_PACKET:
            raise paramiko.SSHException(f"announces a packet of {n} bytes")
        return super().read_all(n, check_rekey)

    def readline(self, timeout: float) -> str:
        """Read a line. A server may say some before its version (RFC 4253, 4.2).

        Raises Preamble with the first of them if it then says no more.
        """
        try:
            line = super().readline(timeout)
        except (EOFError, OSError) as error:
            if self._preamble:
                raise Preamble(self._preamble) from error
            raise
        if not line.startswith("SSH-"):
            self._preamble = self._preamble or line
        return line

    def write_all(self, out: Any) -> None:
        """Write a packet."""
        self._patient.until = monotonic() + PATIENCE
        super().write_all(out)


class _Patient:
    """A socket or channel whose `send` raises BrokenPipeError after the deadline `until`."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.recv, self.close = sock.recv, sock.close
        self.until = 0.0

    def send(self, data: bytes) -> int:
        if monotonic() > self.until:
            raise BrokenPipeError
        return int(self._sock.send(data))


class _Window(BufferedPipe):  # type: ignore[type-arg]  # it is generic in its stubs only
    """The unread data of a channel: never more than its window allows."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def feed(self, data: bytes | str) -> None:
        """Add data. Raises SSHException if it exceeds the window."""
        if len(self) + len(data) > self._size:
            raise paramiko.SSHException("sends more than it may")
        super().feed(data)
