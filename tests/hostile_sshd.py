"""SSH servers that speak as badly as they can, on this machine's loopback addresses."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.kex_curve25519 import KexCurve25519

Speak = Callable[[socket.socket], None]  # one connection, until it returns

HOST_KEY = paramiko.ECDSAKey.generate()


class Listening:
    """A server under way."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.came = threading.Semaphore(0)  # one for each connection

    def wait(self, times: int = 1) -> None:
        """Return when so many more have come."""
        for _ in range(times):
            assert self.came.acquire(timeout=30), "nobody came"


@contextmanager
def serving(speak: Speak, address: str = "127.0.0.1", port: int = 0) -> Iterator[Listening]:
    """Have each connection to an address spoken to so, while the block runs."""
    server = socket.create_server((address, port), backlog=128)
    found = Listening(server.getsockname()[1])
    held: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):
            speak(connection)

    def accept() -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = server.accept()
                held.append(connection)
                threading.Thread(target=one, args=(connection,), daemon=True).start()
                found.came.release()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in held:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@contextmanager
def dropping(address: str = "127.0.0.1") -> Iterator[int]:
    """A port that no packet comes back from: its queue is full, and it accepts nobody."""
    with socket.create_server((address, 0), backlog=0) as server:
        port = server.getsockname()[1]
        with socket.create_connection((address, port)):
            yield port


def says(data: bytes, *, ends: bool = False) -> Speak:
    """Say that, and wait until the other end has gone; or end the connection first."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(data)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    return speak


def floods(line: bytes) -> Speak:
    """Say that again and again."""

    def speak(connection: socket.socket) -> None:
        while True:
            connection.sendall(line)

    return speak


def packet(payload: bytes) -> bytes:
    """A packet as before any key is agreed on (RFC 4253, 6)."""
    padding = 8 - (len(payload) + 5) % 8 + 8
    size = len(payload) + padding + 1
    return size.to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


def kex_init(names: bytes) -> bytes:
    """A KEXINIT whose ten lists are all these bytes (RFC 4253, 7.1)."""
    text = len(names).to_bytes(4, "big") + names
    return packet(b"\x14" + bytes(16) + text * 10 + bytes(5))


class _Accepting(paramiko.ServerInterface):
    """Lets everybody in, or leaves them waiting for that."""

    def __init__(self, run: Callable[[paramiko.Channel], None], stall: bool) -> None:
        self._run = run
        self._stall = stall

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, _username: str, _key: paramiko.PKey) -> int:
        if self._stall:
            threading.Event().wait()
        return AUTH_SUCCESSFUL

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, _command: bytes) -> bool:
        def run() -> None:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self._run(channel)

        threading.Thread(target=run, daemon=True).start()
        return True


class _ShortShare(KexCurve25519):
    """Sends one byte less than an X25519 share has."""

    def _parse_kexecdh_init(self, _m: paramiko.Message) -> None:
        reply = paramiko.Message()
        reply.add_byte(b"\x1f")
        reply.add_string(HOST_KEY.asbytes())
        reply.add_string(bytes(31))
        reply.add_string(b"")
        self.transport._send_message(reply)  # type: ignore[attr-defined]


def _nothing(_channel: paramiko.Channel) -> None:
    """Say nothing."""


def ssh(
    run: Callable[[paramiko.Channel], None] = _nothing,
    *,
    stall: bool = False,
    short_share: bool = False,
) -> Speak:
    """An SSH server that lets everybody in; `run` is what it does for a command."""

    def speak(connection: socket.socket) -> None:
        transport: Any = paramiko.Transport(connection)
        transport.add_server_key(HOST_KEY)
        if short_share:
            transport._kex_info = {"curve25519-sha256@libssh.org": _ShortShare}
            transport.get_security_options().kex = tuple(transport._kex_info)
        transport.start_server(server=_Accepting(run, stall))
        transport.join()

    return speak
