"""What a run of fab says to its machines and hears from them: recorded, and played again.

Both stand where paramiko's channels are, below all that reads what a machine says. A recorded run
is a real one: `python -m tests.hostile.wiretap FILE ARGUMENT...` is `fab ARGUMENT...`, and writes
what was said into the file.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fabric import Connection

# How tasks/ssh/shell.py puts a script into the shell that waits for one, and starts that shell.
_FRAME = re.compile(
    rb"\(\n(.*)\n[^\n]*?([0-9a-f]{16})[^\n]*; main 3<&0 [^\n]*\n"
    rb"[^\n]*?([0-9a-f]{16})[^\n]*\n\) \|\| exit\n",
    re.DOTALL,
)
_NONCE = re.compile(r"[0-9a-f]{16}")
_VALUE = re.compile(r"[0-9A-Fa-f]+(?:[.:]+[0-9A-Fa-f]+)+[:/\d]*|\d+")

PATIENCE = 0.02  # seconds that a machine with nothing to say is silent, before time is up


@dataclass
class Conversation:
    """One script on one machine: what it said at once, and after each line that it was told."""

    host: str
    script: str
    told: list[str]
    said: list[str]  # the first before any line


@dataclass(frozen=True)
class _Script:
    """A script that is sent, and what says that its answer begins, and ends."""

    text: str
    begin: str
    end: str


class _Sent:
    """What is sent to a shell, piece by piece: scripts, and lines for the one under way."""

    def __init__(self) -> None:
        self._rest = b""
        self._under_way = False

    def more(self, data: bytes) -> Iterator[_Script | str]:
        """What is whole with this piece."""
        self._rest += data
        while found := self._next():
            yield found

    def _next(self) -> _Script | str | None:
        if not self._under_way or self._rest.startswith(b"(\n"):
            frame = _FRAME.search(self._rest)
            if frame is None:
                return None
            self._rest = self._rest[frame.end() :]
            self._under_way = True
            text, begin, end = (part.decode() for part in frame.groups())
            return _Script(text, f"\n{begin}-begin\n", f"\n{end}-end\n")
        line, whole, rest = self._rest.partition(b"\n")
        if not whole:
            return None
        self._rest = rest
        return line.decode() or " "


class _Tap:
    """A channel, and what goes through it written down."""

    def __init__(self, channel: Any, host: str, log: list[Conversation]) -> None:
        self._channel = channel
        self._host = host
        self._log = log
        self._sent = _Sent()
        self._script: _Script | None = None
        self._heard: list[bytearray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, data: bytes) -> int:
        # What is sent is noted first: the answer may come before this returns.
        number = min(len(data), 1 << 14)
        self._note(data[:number])
        self._channel.sendall(data[:number])
        return number

    def sendall(self, data: bytes) -> None:
        self._note(data)
        self._channel.sendall(data)

    def _note(self, data: bytes) -> None:
        for what in self._sent.more(data):
            if isinstance(what, _Script):
                self._script = what
                self._heard = [bytearray()]
                self._now = Conversation(self._host, what.text, [], [""])
                self._log.append(self._now)
            else:
                self._now.told.append(what)
                self._now.said.append("")
                self._heard.append(bytearray())

    def recv(self, size: int) -> bytes:
        data: bytes = self._channel.recv(size)
        if self._script:
            self._heard[-1] += data
            every = [part.decode("utf-8", "surrogateescape") for part in self._heard]
            begin, end = self._script.begin, self._script.end
            self._now.said = [part.replace(begin, "").replace(end, "") for part in every]
        return data


def record(arguments: Sequence[str]) -> list[Conversation]:
    """Run fab in this process, and give what was said; SystemExit is the caller's to see."""
    from fabric.main import program

    log: list[Conversation] = []
    real = Connection.create_session

    def tapped(connection: Connection) -> Any:
        return _Tap(real(connection), connection.host, log)

    Connection.create_session = tapped
    program.run(["fab", *arguments], exit=False)
    return log


def load(file: Path) -> list[Conversation]:
    """What `record` gave, from the file it was written to."""
    return [Conversation(**each) for each in json.loads(file.read_text())]


class Played:
    """The machines of a recorded run, each answering as it did then.

    A script is taken for the recorded one that it resembles most, those not yet answered first.
    """

    def __init__(self, recorded: Iterable[Conversation]) -> None:
        self._left: dict[str, list[Conversation]] = {}
        for each in recorded:
            self._left.setdefault(each.host, []).append(each)
        self._used: set[int] = set()
        self._lock = threading.Lock()
        self.sent: list[tuple[str, str]] = []  # host, and a script or a line for one
        self.after: Callable[[str], None] = lambda _: None  # what else is to be done

    def channel(self, host: str) -> "Channel":
        """What stands for a session on a machine."""
        return Channel(self, host)

    def answer(self, host: str, script: str) -> Conversation:
        """The conversation that a script begins."""
        with self._lock:
            self.sent.append((host, script))
            known = self._left.get(host, [])
            best = max(
                known,
                key=lambda c: (_alike(script, c.script), id(c) not in self._used),
                default=Conversation(host, script, [], [""]),
            )
            self._used.add(id(best))
        self.after(host)
        return best

    def told(self, host: str, line: str) -> None:
        """A line for a script under way."""
        with self._lock:
            self.sent.append((host, line))


@lru_cache(maxsize=4096)
def _folded(script: str) -> frozenset[str]:
    return frozenset(_VALUE.sub("0", script).splitlines())


def _alike(one: str, other: str) -> float:
    """How many of the lines of two scripts are the same but for their values: 0 to 1."""
    if one == other:
        return 1.0
    a, b = _folded(one), _folded(other)
    return round(len(a & b) / len(a | b), 1)


class Channel:
    """What paramiko calls a channel, to a machine of a recorded run."""

    in_window_size = 1 << 21  # bytes

    def __init__(self, played: Played, host: str) -> None:
        self.closed = self.eof_received = False
        self._played = played
        self._host = host
        self._timeout = 0.0
        self._sent = _Sent()
        self._heard = bytearray()
        self._parts: list[str] = []
        self._end = ""

    def set_combine_stderr(self, _combine: bool) -> None:
        """As paramiko has it."""

    def settimeout(self, seconds: float) -> None:
        self._timeout = seconds

    def get_transport(self) -> "Channel":
        return self  # to be closed

    def exec_command(self, command: str) -> None:
        nonce = _NONCE.search(command)
        assert nonce, f"not as a shell is started: {command}"
        self._heard += f"{nonce[0]}-ready\n".encode()

    def send(self, data: bytes) -> int:
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        for what in self._sent.more(data):
            if isinstance(what, _Script):
                held = self._played.answer(self._host, what.text)
                self._parts = list(held.said)
                self._end = what.end
                self._heard += what.begin.encode()
            else:
                self._played.told(self._host, what)
            self._say()

    def _say(self) -> None:
        """What comes next; once all is said the script ends."""
        if self._parts:
            self._heard += self._parts.pop(0).encode("utf-8", "surrogateescape")
        if not self._parts and self._end:
            self._heard += self._end.encode()
            self._end = ""

    def recv(self, size: int) -> bytes:
        if not self._heard and not self.closed:
            time.sleep(min(PATIENCE, self._timeout))
            raise TimeoutError
        data = bytes(self._heard[:size])
        del self._heard[:size]
        return data

    def close(self) -> None:
        self.closed = True


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps([asdict(each) for each in record(sys.argv[2:])]))
