"""A rollout under way: what holds whatever the machines do."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from unittest.mock import PropertyMock, create_autospec

import pytest

from tasks.common.signals import Interrupts
from tasks.common.values import Network
from tasks.facts.model import Facts
from tasks.planning.model import Change, MachinePlan, Plan
from tasks.rollout import in_progress
from tasks.rollout.check import NO_CHECK, Check
from tasks.rollout.in_progress import RunInProgress
from tasks.rollout.result import MachineState
from tasks.rollout.transaction import roll_out
from tasks.ssh.errors import MachineError
from tasks.undo.run import Run, new_run
from tests.builders import POD_NETWORKS, facts, route, wanted

NETWORKS: tuple[Network, ...] = POD_NETWORKS[:1]


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Noon":
        return cls(2026, 1, 1, 12, tzinfo=tz)


@dataclass
class RunningScript:
    """A machine that waits to be told to go."""

    machine: str

    def close(self) -> None:
        """It stays as it is."""


@dataclass
class Machines:
    """A fleet: each command takes ten seconds, and the second machine is lost on its way."""

    now: float = 0.0
    told: list[str] = field(default_factory=list)
    late: tuple[str, ...] = ()  # machines whose time is up

    def clock(self) -> float:
        return self.now

    def progress(self, _doing: str, _total: int) -> AbstractContextManager[Callable[[], None]]:
        return nullcontext(lambda: None)

    def group(self, names: Mapping[str, Any]) -> list[str]:
        return list(names)

    def name_of(self, connection: str) -> str:
        return connection

    def start(
        self, scripts: Mapping[str, str], _marker: str, _doing: str
    ) -> dict[str, RunningScript]:
        self.now += 10
        return {name: RunningScript(name) for name in scripts}

    def send(
        self, running: Mapping[str, RunningScript], word: str, _marker: str, _at_once: int = 0
    ) -> dict[str, str | MachineError]:
        self.now += 10
        self.told += [f"{name} {word}" for name in running]
        if word == "push":
            return {n: "== fired\n" if n in self.late else "== armed\n" for n in running}
        there = wanted(1)
        done = f"== done\n== route\n{there}\n== get\n{there.replace('.0/24', '.1')}\n"
        return {n: MachineError("lost") if n == "worker-1" else done for n in running}

    def ask(self, scripts: Mapping[str, str]) -> dict[str, str | MachineError]:
        """Each machine that is told to go back is lost."""
        return {name: MachineError("lost") for name in scripts}


class Locked(Machines):
    """A fleet of which one machine is at work for somebody else."""

    def start(self, scripts: Mapping[str, str], _marker: str, _doing: str) -> dict[str, Any]:
        return {
            n: "== locked\nsomebody\n" if n == "worker-2" else RunningScript(n) for n in scripts
        }


def under_way(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> RunInProgress:
    """A rollout of one route on each of three machines, all of them asked to arm."""
    monkeypatch.setattr(in_progress, "monotonic", machines.clock)
    monkeypatch.setattr(in_progress, "datetime", Noon)
    names = ("worker-0", "worker-1", "worker-2")
    plans = tuple(MachinePlan(n, (Change(route(wanted(1))),)) for n in names)
    asked: dict[str, Facts] = {name: facts(0) for name in names}
    fleet: Any = machines
    run = Run("run", "who", 60, NETWORKS)
    made = RunInProgress(fleet, Plan(plans, {}), asked, run)
    made.arm()
    return made


def test_one_after_the_other_until_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines()
    run = under_way(machines, monkeypatch)
    run.forward(Interrupts(), NO_CHECK, 1)
    assert [r.state for r in run.results] == [MachineState.DONE, MachineState.UNKNOWN]
    assert [told for told in machines.told if "go" in told] == ["worker-0 go", "worker-1 go"]


def test_several_at_a_time_until_one_of_them_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines()
    run = under_way(machines, monkeypatch)
    run.forward(Interrupts(), NO_CHECK, 2)
    assert [told for told in machines.told if "go" in told] == ["worker-0 go", "worker-1 go"]


def test_trouble_ends_it_before_the_next_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines()
    run = under_way(machines, monkeypatch)
    check = create_autospec(Check, instance=True)
    type(check).trouble = PropertyMock(side_effect=["", "silent"])
    run.forward(Interrupts(), check, 1)
    assert [told for told in machines.told if "go" in told] == ["worker-0 go"]


@pytest.mark.parametrize(("machines", "begun"), [(Machines(), 1), (Locked(), 0)])
def test_the_check_begins_once_all_are_armed(machines: Machines, begun: int) -> None:
    """A run that is refused must not disturb the pings of the one that is at work."""
    told: list[list[str]] = []
    check = create_autospec(Check, instance=True)
    check.begin.side_effect = lambda: told.append([*machines.told, f"after {machines.now} s"])
    type(check).trouble = PropertyMock(return_value="")
    fleet: Any = machines
    asked: dict[str, Facts] = {name: facts(0) for name in ("worker-1", "worker-2")}
    plan = Plan(tuple(MachinePlan(name, (Change(route(wanted(1))),)) for name in asked), {})
    roll_out(fleet, plan, asked, Run("run", "who", 60, NETWORKS), check)
    assert told == [["after 10.0 s"]] * begun
    assert check.end.call_count == 1


def test_none_is_changed_unless_all_are_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Locked()
    run = under_way(machines, monkeypatch)
    run.forward(Interrupts(), NO_CHECK, 1)
    assert machines.told == []
    assert [(r.name, r.state) for r in run.results] == [("worker-2", MachineState.UNTOUCHED)]


def test_a_machine_whose_time_was_up_before_its_turn_is_not_told_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines(late=("worker-2",))
    run = under_way(machines, monkeypatch)
    machines.now += 30
    run.forward(Interrupts(), NO_CHECK, 1)
    assert [told for told in machines.told if "go" in told] == []
    assert [(r.name, r.state) for r in run.results] == [("worker-2", MachineState.UNTOUCHED)]


def test_the_time_that_is_told_is_that_of_the_last_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Set ten seconds ago, when all had armed; two seconds are to spare."""
    machines = Machines()
    run = under_way(machines, monkeypatch)
    assert run.until == "12:01:02"
    machines.now += 10
    assert run.until == "12:00:52"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert new_run(NETWORKS, 5).who.startswith(f"uid {os.getuid()}@")
