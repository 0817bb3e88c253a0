"""A real browser for the tests: Chromium without a window, driven by its DevTools protocol.

`--remote-debugging-pipe` has it read commands on descriptor 3 and answer on 4: JSON, each
message ended by a zero byte. https://chromedevtools.github.io/devtools-protocol/ names them.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any


class Page:
    """One page in the browser."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands = commands
        self._answers = answers
        self._number = 0
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something; what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **self._session}
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path) -> None:
        """Show a file, and wait until its scripts have run."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._next())

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What went wrong in the page: exceptions, and what its policy has refused."""
        return [
            e for e in self.events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")
        ]

    @property
    def requested(self) -> set[str]:
        """The addresses that the page has asked for."""
        return {
            e["params"]["request"]["url"]
            for e in self.events
            if e["method"] == "Network.requestWillBeSent"
        }

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browser(home: Path) -> Iterator[Page]:
    """A page of a Chromium that keeps what it writes in `home`, and ends with the block."""
    commands, our_commands = os.pipe()
    our_answers, answers = os.pipe()
    # bash gives the pipes the numbers that Chromium wants them to have.
    start = f'exec "$@" 3<&{commands} 4>&{answers}'
    flags = [
        "--headless",
        "--no-sandbox",  # which root cannot have
        "--disable-dev-shm-usage",  # small in containers
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--remote-debugging-pipe",
        f"--user-data-dir={home}",
    ]
    with (
        TemporaryDirectory(prefix="browser") as short,  # for a socket, whose path may not be long
        subprocess.Popen(
            ["bash", "-c", start, "bash", "chromium", *flags],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": short},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(commands, answers),
        ) as process,
    ):
        os.close(commands)
        os.close(answers)
        with os.fdopen(our_commands, "wb") as to, os.fdopen(our_answers, "rb") as back:
            try:
                yield Page(to, back)
            finally:
                process.terminate()
