"""Machines that are asked nothing: what they would be sent is kept, to be judged."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, cast

from tasks.inventory.model import Cluster
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import Shell
from tasks.ssh.transcript import Transcript
from tests.hostile.wiretap import Conversation, Played


def heard(said: str) -> str:
    """What is heard of what a machine says, by the shell that all scripts run in."""
    script = "main() { :; }"
    played = Played([Conversation("", script, [], [said])])
    connection: Any = SimpleNamespace(
        user="root",
        config=SimpleNamespace(
            timeouts=SimpleNamespace(command=1), sudo=SimpleNamespace(password=None)
        ),
        create_session=lambda: played.channel(""),
    )
    return str(Shell(connection, Transcript("")).run(script))


class Deaf:
    """Stands for the fleet of a cluster; every script ends at once with the same answer."""

    def __init__(self, cluster: Cluster, answers: Mapping[str, str] | None = None) -> None:
        self.cluster = cluster
        self.parallel = 32
        self.sent: list[tuple[str, str]] = []  # machine, script
        self._answers = answers or {}

    @property
    def fleet(self) -> Fleet:
        """This, as those take it who ask a fleet."""
        return cast(Fleet, self)

    def progress(self, _doing: str, _total: int) -> AbstractContextManager[Callable[[], None]]:
        """Nobody looks."""
        return nullcontext(lambda: None)

    def ask(self, scripts: Mapping[str, str], _doing: str = "") -> dict[str, str]:
        """Keep the scripts."""
        self.sent += scripts.items()
        return {name: self._answers.get(name, "") for name in scripts}

    def start(self, scripts: Mapping[str, str], _marker: str, _doing: str) -> dict[str, str]:
        """The same: none of them comes as far as its marker."""
        return self.ask(scripts)

    def send(self, running: Mapping[str, Any], _line: str, _marker: str) -> dict[str, str]:
        """Nobody is there to be told."""
        return dict.fromkeys(running, "")

    def in_step(
        self, scripts: Mapping[str, str], _ready: str, _steps: Any, _doing: str
    ) -> dict[str, str]:
        """The same: every script ends before its first step."""
        return self.ask(scripts)

    def group(self, names: Iterable[str]) -> list[Any]:
        """Connections that only have a name."""
        return [SimpleNamespace(name=name) for name in names]

    def name_of(self, connection: Any) -> str:
        """The name of such a connection."""
        return str(connection.name)
