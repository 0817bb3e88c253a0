"""Scripts that wait for each other: no machine goes on too early, and none waits for ever."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fabric import Config

from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tests.builders import cluster
from tests.ssh.test_shell import Local, connected

READY, SENT = "== ready", "== sent"
BOTH = ("worker-0", "worker-1")


class Here(Fleet):
    """A fleet whose machines are shells on this machine; an answer has a second to come."""

    def __init__(self) -> None:
        super().__init__(cluster(2), Config())
        self._made: dict[str, Any] = {}
        self.channels: list[Local] = []

    def connection(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = connected(self._channel)
            self._made[name].open = lambda: None
            self._made[name].gateway = None
            self._made[name].host, self._made[name].port = name, 22
        return self._made[name]

    def _channel(self) -> Local:
        self.channels.append(Local())
        return self.channels[-1]


@pytest.fixture
def here() -> Iterator[Here]:
    made = Here()
    yield made
    for channel in made.channels:
        channel.close()


def steps(*names: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(SENT, names or BOTH)]


def script(directory: Path, name: str, late: float = 0) -> str:
    """Leaves a mark at each step, and says which marks it sees after it."""
    return f"""main() {{
      cd {directory}; sleep {late}; touch ready-{name}; echo; echo '{READY}'; read -r word <&3
      echo "$word" ready-*; touch sent-{name}; echo; echo '{SENT}'; read -r word <&3
      echo "$word" sent-*
    }}"""


def test_nobody_goes_on_before_all_have_come(here: Here, tmp_path: Path) -> None:
    scripts = {name: script(tmp_path, name, 0.3 * n) for n, name in enumerate(BOTH)}
    answers = here.in_step(scripts, READY, steps(), "")
    assert list(answers) == list(BOTH)
    for answer in answers.values():
        assert "go ready-worker-0 ready-worker-1\n" in str(answer)
        assert "go sent-worker-0 sent-worker-1\n" in str(answer)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("main() { echo early; }", "early\n"),
        (f"main() {{ echo; echo '{READY}'; read -r word <&3; echo end; }}", f"\n{READY}\nend\n"),
        ("main() { kill -9 $(sh -c 'echo $PPID'); }", "broke off"),
        ("main() { sleep 3; }", "no answer within 1 seconds"),
        (f"main() {{ echo; echo '{READY}'; sleep 4; }}", "no answer within 1 seconds"),
        ("main() { yes; }", "it says more than 16 MiB"),
        (f"main() {{ echo; echo '{READY}'; read -r word <&3; yes; }}", "it says more than 16 MiB"),
    ],
)
def test_who_ends_hangs_or_floods_is_waited_for_no_longer(
    here: Here, tmp_path: Path, bad: str, said: str
) -> None:
    scripts = {"worker-0": bad, "worker-1": script(tmp_path, "worker-1")}
    before = time.monotonic()
    answers = here.in_step(scripts, READY, steps(), "")
    assert said in str(answers["worker-0"])
    assert isinstance(answers["worker-0"], MachineError) == ("\n" not in said)
    assert str(answers["worker-1"]).endswith("go sent-worker-1\n")
    assert time.monotonic() - before < 10


def test_a_machine_without_steps_goes_on_at_the_end(here: Here, tmp_path: Path) -> None:
    alone = f"main() {{ echo; echo '{READY}'; read -r word <&3; echo $word; }}"
    scripts = {"worker-0": script(tmp_path, "worker-0"), "worker-1": alone}
    answers = here.in_step(scripts, READY, steps("worker-0"), "")
    assert answers["worker-1"] == f"\n{READY}\ngo\n"
    assert str(answers["worker-0"]).endswith("go sent-worker-0\n")
