"""Traffic between pods of a twin while something else happens: what of it is lost."""

import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from tasks.twin.namespaces import NEWNET, enter

from .conftest import Lab

MILLISECOND = 0.001
RETRANSMITTED = 100  # the place of tcpi_total_retrans in struct tcp_info (linux/tcp.h)

Pair = tuple[str, str]  # of workers


@dataclass
class Loss:
    """What was sent and lost; all counts, since the times of a busy computer mean little."""

    sent: int = 0
    lost: int = 0
    gap: int = 0  # the longest run of pings in a row without an answer between them
    retransmitted: int = 0  # segments of the TCP stream
    stall: float = 0.0  # seconds; the longest time in which that stream brought nothing
    broken: int = 0  # streams that ended early

    def __add__(self, other: "Loss") -> "Loss":
        """What both have lost."""
        return Loss(
            self.sent + other.sent,
            self.lost + other.lost,
            max(self.gap, other.gap),
            self.retransmitted + other.retransmitted,
            max(self.stall, other.stall),
            self.broken + other.broken,
        )


@contextmanager
def traffic(lab: Lab, pairs: Collection[Pair], stream: Pair | None = None) -> Iterator[Loss]:
    """Ping from pod to pod every millisecond while the block runs; what that lost is known after.

    `stream`: a pair with a TCP stream besides, of a hundred bytes every millisecond.
    """
    loss = Loss()
    pings = [_Pings(lab, *pair) for pair in pairs]
    tcp = _Stream(lab, *stream) if stream else None
    try:
        yield loss
    finally:
        ended = [ping.end() for ping in pings] + ([tcp.end()] if tcp else [])
        total = sum(ended, Loss())
        loss.__dict__.update(total.__dict__)


class _Pings:
    """ping(8) in its flood mode: it prints a dot for each request, and a backspace for each answer.

    So two bytes tell all of a ping, and parsing is cheap.
    """

    def __init__(self, lab: Lab, source: str, target: str) -> None:
        ping = ["ping", "-n", "-f", "-i", str(MILLISECOND), _pod(lab, target)]
        inside = [*lab.twin.inside(source, pod=True), *ping]
        self._process = subprocess.Popen(inside, stdout=subprocess.PIPE, start_new_session=True)
        self._gap = 0
        self._tail = b""
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        run = 0
        while part := os.read(self._process.stdout.fileno(), 1 << 16):
            self._tail = (self._tail + part)[-2000:]
            for piece in re.findall(rb"\.+|\x08", part):
                run = run + len(piece) if piece != b"\b" else 0
                self._gap = max(self._gap, run)

    def end(self) -> Loss:
        """End it; what it has lost."""
        os.killpg(self._process.pid, signal.SIGINT)  # nsenter(1) passes no signal on
        self._thread.join()
        self._process.wait()
        found = re.search(rb"(\d+) packets transmitted, (\d+) received", self._tail)
        assert found, self._tail
        sent, received = int(found[1]), int(found[2])
        # One is always on its way, and the last may still be so in the end.
        lost = max(sent - received - 1, 0)
        return Loss(sent, lost, self._gap - 1 if lost else 0)


def _pod(lab: Lab, worker: str) -> str:
    return lab.twin.pod_addresses(worker)[0]


@dataclass
class _Stream:
    """A TCP connection between two pods, with an end of each in a thread of this process."""

    lab: Lab
    source: str
    target: str
    _over: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        address = _pod(self.lab, self.target)
        with self._inside(self.target, socket.socket) as listener:
            listener.bind((address, 0))
            listener.listen()
            self._out = self._inside(self.source, socket.socket)
            self._out.connect(listener.getsockname())
            self._in, _ = listener.accept()
        self._loss = Loss()
        self._threads = [Thread(target=self._send), Thread(target=self._receive)]
        for thread in self._threads:
            thread.start()

    def _inside(self, worker: str, make: Callable[[], socket.socket]) -> socket.socket:
        """A socket that belongs to a pod's network."""
        net = next(w for w in self.lab.twin.inside(worker, pod=True) if w.startswith("--net="))

        def work() -> socket.socket:
            enter(Path(net.removeprefix("--net=")), NEWNET)
            return make()

        with ThreadPoolExecutor(1) as pool:  # a thread that is not used for anything else
            return pool.submit(work).result()

    def _send(self) -> None:
        try:
            while not self._over.wait(MILLISECOND):
                self._out.sendall(bytes(100))
        except OSError:
            self._loss.broken = 1
        told = self._out.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RETRANSMITTED + 4)
        (self._loss.retransmitted,) = struct.unpack_from("I", told, RETRANSMITTED)
        self._out.close()

    def _receive(self) -> None:
        last = time.monotonic()
        while self._in.recv(1 << 16):
            now = time.monotonic()
            self._loss.stall = max(self._loss.stall, now - last)
            last = now
        self._in.close()

    def end(self) -> Loss:
        """End it; what became of it."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self._loss


def both_ways(names: Sequence[str], count: int) -> list[Pair]:
    """At most that many pairs of workers, spread over all of them, in both directions each."""
    count = min(count, len(names))
    step = len(names) // count
    pairs = [(names[i * step], names[(i * step + 1) % len(names)]) for i in range(count)]
    return [*pairs, *((other, one) for one, other in pairs)]
