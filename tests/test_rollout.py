"""A rollout under way: what holds whatever the machines do."""

import io
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

import pytest
from fabric import Connection

from tasks import armed, rollout
from tasks.changes import Change, MachinePlan, Plan
from tasks.cluster import Network
from tasks.facts import Facts
from tasks.shell import Trouble

from .builders import POD_NETWORKS, facts, route, wanted

NETWORKS: tuple[Network, ...] = POD_NETWORKS[:1]


class HungUp(io.StringIO):
    """A terminal that has gone."""

    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_has_gone_ends_no_rollout_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", HungUp())
    with rollout.Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
    assert interrupts.seen


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Noon":
        return cls(2026, 1, 1, 12, tzinfo=tz)


@dataclass
class Machines:
    """A fleet: each command takes ten seconds, and the second machine is lost."""

    now: float = 0.0
    asked: list[str] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def group(self, names: Mapping[str, Any]) -> list[str]:
        return list(names)

    def name_of(self, connection: str) -> str:
        return connection

    def run(self, connection: Connection, _script: str) -> str:
        self.now += 10
        if str(connection) == "worker-1":
            raise Trouble("lost")
        there = wanted(1)
        return f"== done\n== route 4\n{there} table main\n== get\n{there.replace('.0/24', '.1')}\n"


def test_the_time_that_is_told_is_that_of_the_machine_armed_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines()
    monkeypatch.setattr(rollout, "monotonic", machines.clock)
    monkeypatch.setattr(rollout, "datetime", Noon)
    names = ("worker-0", "worker-1")
    plans = tuple(MachinePlan(n, (Change(route(wanted(1))),)) for n in names)
    asked: dict[str, Facts] = {name: facts(0) for name in names}
    run = armed.Run("run", "who", 60, NETWORKS)
    fleet: Any = machines
    under_way = rollout._Rollout(fleet, Plan(plans, {}), asked, run)
    under_way.forward(rollout.Interrupts())
    assert [e.state for e in under_way.endings] == ["done", "unknown"]
    assert under_way.until == "12:01:02"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert armed.new_run(NETWORKS, 5).who.startswith(f"uid {os.getuid()}@")
