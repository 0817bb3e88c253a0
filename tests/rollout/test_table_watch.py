"""What `fab watch` puts back into a provider's table, and what it leaves alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.common.errors import Stop
from tasks.inventory.model import ProviderNetwork
from tasks.networks.memory import Memory, TableRecord, alone, remember, remembered
from tasks.networks.state import NetworkState
from tasks.rollout import table_watch
from tasks.rollout.losses import Losses, Teller
from tasks.rollout.table_watch import TableWatch, table_repair
from tests.builders import cluster
from tests.networks.builders import NAME, InMemory, key, state, table

ZERO, ONE = "10.200.0.0/24 via 10.240.0.6", "10.200.1.0/24 via 10.240.0.7"
TO_ZERO = "10.200.1.0/24 via 10.240.0.6"
BOTH = (ZERO, ONE)


@pytest.mark.parametrize(
    ("there", "network", "put", "told"),
    [
        (BOTH, {"ours": BOTH}, [], []),
        ((ZERO,), {"ours": BOTH}, [ONE], []),
        ((ZERO,), {"ours": (ZERO,)}, [], []),  # no run has added it yet
        ((ZERO,), {"ours": (ZERO,), "unfinished": (ONE,)}, [], []),
        ((ZERO, TO_ZERO), {"ours": BOTH}, [], [f"left alone: changed by someone else: {TO_ZERO}"]),
        ((ZERO,), {"ours": (*BOTH, "10.200.7.0/24 via 10.240.0.8")}, [ONE], []),
    ],
)
def test_what_is_missing_comes_back_and_nothing_else_is_changed(
    there: tuple[str, ...], network: dict[str, tuple[str, ...]], put: list[str], told: list[str]
) -> None:
    for atomic in (False, True):
        now = state(table(*there), **network, atomic=atomic)
        made, lines = table_repair(cluster(2), now, (), Losses())
        assert [str(change.put) for change in made.first] == put
        assert not made.last
        assert not any(change.take for change in made.first)
        assert lines == told


def test_a_worker_of_which_not_all_is_known_is_left_alone() -> None:
    now = state(table(), BOTH)
    made, lines = table_repair(cluster(2), now, ("worker-1",), Losses())
    assert [str(change.put) for change in made.first] == [ZERO]
    assert lines == []


def test_a_table_that_has_no_room_or_no_server_is_told() -> None:
    made, lines = table_repair(cluster(2), state(table(limit=0), BOTH), (), Losses())
    assert made.idle
    assert lines[:2] == [f"left alone: missing: {one}" for one in sorted(BOTH)]
    assert "the table holds 0 routes at most" in lines[2]


class Watched:
    """A watch of a table in memory, and what it has said."""

    def __init__(self, directory: Path, provider: InMemory, memory: Memory) -> None:
        hosts = directory / "hosts.toml"
        hosts.touch()
        self.where = ProviderNetwork("hetzner", "kubernetes", directory / "hosts.network.json")
        remember(self.where, memory)
        self.said: list[str] = []
        teller = Teller(lambda name, line: self.said.append(f"{name}: {line}"))
        self.watch = TableWatch(self.where, hosts, teller)
        self.provider = provider

    def look(self, workers: int = 2) -> list[str]:
        """What is said of the table as it is now."""
        self.said.clear()
        memory = remembered(self.where, "7")
        now = NetworkState(NAME, self.provider.now, memory, self.provider.atomic)
        self.watch.answered(now, cluster(workers), ())
        return list(self.said)


Make = Callable[[InMemory, Memory], Watched]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(provider: InMemory, memory: Memory) -> Watched:
        monkeypatch.setattr(table_watch, "provider_of", lambda *_: provider)
        return Watched(tmp_path, provider, memory)

    return make


def ours(*lines: str, **more: object) -> Memory:
    return replace(Memory("7", frozenset(map(key, lines))), **more)  # type: ignore[arg-type]


def test_it_comes_back_twice_and_is_then_left_alone(made: Make) -> None:
    provider = InMemory(table(*BOTH))
    watched = made(provider, ours(*BOTH))
    assert watched.look() == []
    for _ in range(2):
        provider.now = table(ZERO)
        assert watched.look() == [f"{NAME}: put back: {ONE}"]
        assert provider.now == table(*BOTH)
    provider.now = table(ZERO)
    assert watched.look() == [f"{NAME}: left alone: missing: {ONE}"]
    assert watched.look() == []  # told once
    provider.now = table(*BOTH)
    assert watched.look() == [f"{NAME}: all is well again"]
    provider.now = table(ZERO)
    assert watched.look() == [f"{NAME}: put back: {ONE}"]


def test_rollback_last_still_means_the_run_before(made: Make) -> None:
    record = TableRecord("20261129T101500.000001", None, frozenset(map(key, BOTH)))
    memory = ours(*BOTH, runs=(record,))
    watched = made(InMemory(table(ZERO)), memory)
    watched.look()
    assert remembered(watched.where, "7") == memory


def test_a_watch_that_is_killed_leaves_what_a_run_had_left(made: Make) -> None:
    class Killed(BaseException):
        pass

    def kill(_number: int) -> None:
        raise Killed

    watched = made(InMemory(table(ZERO), fault=kill), ours(*BOTH))
    with pytest.raises(Killed):
        watched.look()
    assert remembered(watched.where, "7") == ours(*BOTH)


def test_an_api_that_refuses_is_told_and_asked_again_at_the_next_look(made: Make) -> None:
    def locked(_number: int) -> None:
        raise Stop("locked")

    provider = InMemory(table(ZERO), fault=locked)
    watched = made(provider, ours(*BOTH))
    assert watched.look() == [f"{NAME}: not put back: {ONE}: locked"]
    assert watched.look() == []
    provider.fault = lambda _number: None
    assert watched.look() == [f"{NAME}: put back: {ONE}", f"{NAME}: all is well again"]
    watched.said.clear()
    watched.watch.answered(Stop("no key"), cluster(2), ())
    assert watched.said == [f"{NAME}: cannot be asked: no key"]


def test_a_source_check_that_somebody_switched_on_again(made: Make) -> None:
    provider = InMemory(table(*BOTH, checks=True), atomic=True)
    watched = made(provider, ours(*BOTH, unchecked=frozenset({"0"})))
    assert watched.look() == [f"{NAME}: switched off again: source check of worker-0"]
    assert [member.source_check for member in provider.now.members] == [False, True, True]


def test_nothing_is_put_back_while_another_run_is_at_work(made: Make) -> None:
    provider = InMemory(table(ZERO))
    watched = made(provider, ours(*BOTH))
    with alone(watched.watch.hosts):
        assert watched.look() == []
    assert provider.log == []
