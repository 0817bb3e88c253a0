"""A provider's table in a run: changed with the machines or not at all, wherever the run ends."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.common.errors import Status, Stop
from tasks.inventory.model import ProviderNetwork
from tasks.networks.memory import (
    Memory,
    TableRecord,
    alone,
    confirm_unfinished,
    remember,
    remembered,
)
from tasks.networks.model import Table, TableRoute
from tasks.networks.state import NetworkState
from tasks.planning.model import Allowed
from tasks.planning.provider_table import plan_table
from tasks.planning.table_rollback import last_record, plan_table_last, plan_table_rollback
from tasks.rollout.provider_table import TableRun, around
from tasks.rollout.result import MachineResult, MachineState, Rollout
from tests.builders import cluster
from tests.networks.builders import NAME, InMemory, Killed, key, state, table

ZERO, ONE = "10.200.0.0/24 via 10.240.0.6", "10.200.1.0/24 via 10.240.0.7"
TO_ZERO = "10.200.1.0/24 via 10.240.0.6"
ALL = Allowed(replace=True, prune=True, force=True)
RUN = "20261129T101500.000001"


@pytest.fixture
def where(tmp_path: Path) -> ProviderNetwork:
    return ProviderNetwork("hetzner", "kubernetes", tmp_path / "hosts.network.json")


def never() -> bool:
    return False


def of(
    where: ProviderNetwork, provider: InMemory, allowed: Allowed = ALL, workers: int = 2
) -> TableRun:
    """A run of what apply-routes plans for the table as it is."""
    memory = remembered(where, provider.now.id)
    now = NetworkState(NAME, provider.now, memory, provider.atomic)
    return TableRun(
        where, lambda _stopped: provider, plan_table(cluster(workers), now, allowed), RUN
    )


def machines(*states: MachineState, whole: bool = False) -> Callable[[], Rollout]:
    results = tuple(MachineResult(f"worker-{n}", s, "a reason") for n, s in enumerate(states))
    return lambda: Rollout(results, whole)


DONE = machines(MachineState.DONE, MachineState.DONE, whole=True)
FAILED = machines(MachineState.AS_BEFORE, MachineState.UNTOUCHED)


def lines(there: Table) -> set[str]:
    return set(map(str, there.routes))


def test_all_is_done(where: ProviderNetwork) -> None:
    provider = InMemory(table())
    ended = around(of(where, provider), DONE, never, hold=False)
    assert ended.status == Status.DONE
    assert ended.results[0] == MachineResult(NAME, MachineState.DONE)
    assert lines(provider.now) == {ZERO, ONE}
    both = frozenset(map(key, (ZERO, ONE)))
    assert remembered(where, "7") == Memory("7", both, runs=(TableRecord(RUN, None, both),))
    again = of(where, provider)
    assert again.plan.empty
    assert len(around(again, DONE, never, hold=False).results) == 2  # nothing to say of it


def test_machines_come_between_additions_and_removals(where: ProviderNetwork) -> None:
    old = "10.200.7.0/24 via 10.240.0.8"
    remember(where, Memory("7", frozenset(map(key, (old,)))))
    provider = InMemory(table(old))
    seen = []

    def between() -> Rollout:
        seen.append(lines(provider.now))
        return DONE()

    around(of(where, provider), between, never, hold=False)
    assert seen == [{ZERO, ONE, old}]
    assert lines(provider.now) == {ZERO, ONE}


def test_machines_that_fail_take_the_additions_along(where: ProviderNetwork) -> None:
    provider = InMemory(table(TO_ZERO))
    ended = around(of(where, provider), FAILED, never, hold=False)
    assert ended.status == Status.UNDONE
    assert ended.results[0] == MachineResult(NAME, MachineState.AS_BEFORE, "a reason")
    assert lines(provider.now) == {TO_ZERO}
    assert not where.memory.exists()


def test_an_error_among_the_machines_too(where: ProviderNetwork) -> None:
    provider = InMemory(table(TO_ZERO))

    def fails() -> Rollout:
        raise Stop("no such thing")

    with pytest.raises(Stop):
        around(of(where, provider), fails, never, hold=False)
    assert lines(provider.now) == {TO_ZERO}


def test_machines_that_may_need_the_additions_leave_them(where: ProviderNetwork) -> None:
    provider = InMemory(table())
    unknown = machines(MachineState.UNKNOWN)
    ended = around(of(where, provider), unknown, never, hold=False)
    assert ended.status == Status.NOT_WHOLE
    assert "`fab rollback` deletes them" in ended.results[0].why
    assert remembered(where, "7").unfinished == set(map(key, (ZERO, ONE)))
    assert remembered(where, "7").run == RUN


def test_a_held_change_waits(where: ProviderNetwork) -> None:
    provider = InMemory(table())
    ended = around(of(where, provider), DONE, never, hold=True)
    assert ended.results[0].state == MachineState.HELD
    assert remembered(where, "7").unfinished
    confirm_unfinished(where)
    assert remembered(where, "7").ours == set(map(key, (ZERO, ONE)))
    assert [one.run for one in remembered(where, "7").runs] == [RUN]  # `rollback --last` knows it


def test_a_table_that_has_changed_since_the_plan(where: ProviderNetwork) -> None:
    provider = InMemory(table())
    run = of(where, provider)
    provider.now = table(TO_ZERO)
    ended = around(run, DONE, never, hold=False)
    assert (ended.status, provider.log) == (Status.ERROR, [])
    assert "changed since the plan" in ended.results[0].why


def test_a_memory_that_has_changed_since_the_plan(where: ProviderNetwork) -> None:
    provider = InMemory(table())
    run = of(where, provider)
    others = Memory("7", frozenset(map(key, (ZERO,))))
    remember(where, others)
    assert around(run, DONE, never, hold=False).status == Status.ERROR
    assert provider.log == []
    assert remembered(where, "7") == others


def test_an_interrupt_between_two_calls(where: ProviderNetwork) -> None:
    provider = InMemory(table())
    times = count()
    ended = around(of(where, provider), DONE, lambda: next(times) > 0, hold=False)
    assert ended.status == Status.INTERRUPTED
    assert provider.log == [f"add {ZERO}", f"remove {ZERO}"]
    assert not where.memory.exists()


def test_a_call_that_failed_but_made_the_change(where: ProviderNetwork) -> None:
    """As one does that takes too long: the API goes on."""

    class Late(InMemory):
        def add(self, table_: Table, route: TableRoute) -> None:
            super().add(table_, route)
            raise Stop("no answer within 60 s")

    provider = Late(table())
    assert around(of(where, provider), DONE, never, hold=False).status == Status.DONE
    assert lines(provider.now) == {ZERO, ONE}


def test_an_api_that_is_gone_half_way_says_what_is_left(where: ProviderNetwork) -> None:
    def gone(number: int) -> None:
        if number:
            raise Stop("the API cannot be reached")

    provider = InMemory(table(), fault=gone)
    ended = around(of(where, provider), DONE, never, hold=False)
    assert ended.status == Status.NOT_WHOLE
    assert "what it added may still be there" in ended.results[0].why
    assert remembered(where, "7").unfinished == set(map(key, (ZERO, ONE)))


def test_removals_that_fail_are_left_for_the_next_run(where: ProviderNetwork) -> None:
    old = "10.200.7.0/24 via 10.240.0.8"
    remember(where, Memory("7", frozenset(map(key, (old,)))))

    def fault(number: int) -> None:
        if number == 2:
            raise Stop("locked")

    provider = InMemory(table(old), fault=fault)
    ended = around(of(where, provider), DONE, never, hold=False)
    assert (ended.status, ended.results[0].state) == (
        Status.NOT_WHOLE,
        MachineState.NOT_ALL_DELETED,
    )
    provider.fault = lambda _number: None
    assert around(of(where, provider), DONE, never, hold=False).status == Status.DONE
    assert lines(provider.now) == {ZERO, ONE}


# `fab rollback --last`: what one run changed, and no more.

LATER = "20261129T101600.000001"


def back(
    where: ProviderNetwork, provider: InMemory, latest: str, lasts: set[str], name: str = ""
) -> bool:
    """Take the last run back as `rollback --last` does; whether the table had a part in it."""
    now = NetworkState(NAME, provider.now, remembered(where, "7"), provider.atomic)
    record = last_record(cluster(3), now, latest, lasts, name)
    if record is None:
        return False
    plan = plan_table_last(now, record)
    run = TableRun(where, lambda _stopped: provider, plan, LATER)
    assert around(run, DONE, never, hold=False).status == Status.DONE
    return True


def test_the_last_run_alone_is_taken_back(where: ProviderNetwork) -> None:
    provider = InMemory(table(), atomic=True)
    around(of(where, provider, workers=2), DONE, never, hold=False)
    second = replace(of(where, provider, workers=3), run=LATER)
    around(second, DONE, never, hold=False)
    assert back(where, provider, LATER, {LATER})
    assert lines(provider.now) == {ZERO, ONE}
    assert remembered(where, "7").ours == set(map(key, (ZERO, ONE)))
    assert back(where, provider, RUN, {RUN})  # the machines' last one is now the first
    assert lines(provider.now) == set()
    assert not where.memory.exists()


def test_a_run_that_replaced_and_pruned_gets_its_routes_back(where: ProviderNetwork) -> None:
    old, foreign_ = "10.200.7.0/24 via 10.240.0.8", TO_ZERO
    remember(where, Memory("7", frozenset(map(key, (old,)))))
    provider = InMemory(table(old, foreign_), atomic=True)
    around(of(where, provider), DONE, never, hold=False)
    assert lines(provider.now) == {ZERO, ONE}
    assert back(where, provider, RUN, {RUN})
    assert lines(provider.now) == {old, foreign_}
    memory = remembered(where, "7")
    assert (set(memory.ours), set(memory.displaced)) == ({key(old)}, set())
    assert back(where, provider, LATER, {LATER})  # and that can be taken back as well
    assert lines(provider.now) == {ZERO, ONE}
    memory = remembered(where, "7")
    assert set(memory.ours) == set(map(key, (ZERO, ONE)))
    assert memory.displaced == {key(foreign_)}


def test_a_run_that_changed_no_machine_is_the_last_until_another_one_does(
    where: ProviderNetwork,
) -> None:
    provider = InMemory(table(checks=True), atomic=True)
    run = replace(of(where, provider), seen=frozenset({"20261129T101400.000001"}))
    around(run, DONE, never, hold=False)
    assert not back(where, provider, LATER, {LATER})
    assert lines(provider.now) == {ZERO, ONE}
    earlier = "20261129T101400.000001"
    assert back(where, provider, earlier, {earlier})
    assert lines(provider.now) == set()
    assert all(member.source_check for member in provider.now.members)


def test_of_one_machine_only_the_routes_to_its_pods_are_taken_back(where: ProviderNetwork) -> None:
    provider = InMemory(table(checks=True), atomic=True)
    around(of(where, provider), DONE, never, hold=False)
    assert back(where, provider, RUN, {RUN}, "worker-1")
    assert lines(provider.now) == {ZERO}
    checked = {member.name for member in provider.now.members if member.source_check}
    assert checked == {"worker-1", "worker-2"}  # the latter was never in it
    assert back(where, provider, RUN, {RUN}, "worker-0")
    assert lines(provider.now) == set()


def test_what_a_killed_run_left_goes_back_with_the_run_that_went_on(
    where: ProviderNetwork,
) -> None:
    def killed(number: int) -> None:
        if number:
            raise Killed

    provider = InMemory(table(), fault=killed)
    with suppress(Killed):
        of(where, provider).forward(never)
    provider.fault = lambda _number: None
    around(replace(of(where, provider), run=LATER), DONE, never, hold=False)
    assert lines(provider.now) == {ZERO, ONE}
    assert back(where, provider, LATER, {LATER})
    assert lines(provider.now) == set()


def test_a_run_that_nothing_is_remembered_of(where: ProviderNetwork) -> None:
    assert not back(where, InMemory(table(ZERO)), RUN, {RUN})


DESTINATIONS = [f"10.200.{n}.0/24" for n in range(5)]
GATEWAYS = [f"10.240.0.{n}" for n in (6, 7, 8, 99)]  # nobody has the last


@st.composite
def networks(draw: st.DrawFn) -> NetworkState:
    """Tables of three workers, some of whose routes are remembered."""
    chosen = draw(st.lists(st.sampled_from(DESTINATIONS), unique=True))
    routes = [f"{one} via {draw(st.sampled_from(GATEWAYS))}" for one in chosen]
    ours = draw(st.lists(st.sampled_from(routes), unique=True)) if routes else []
    left = [line for line in ours if draw(st.booleans())]
    return state(
        table(*routes, checks=draw(st.booleans())),
        [line for line in ours if line not in left],
        left,
        atomic=draw(st.booleans()),
    )


def foreign(there: NetworkState) -> set[str]:
    """The routes that work, and that this tool did not add."""
    return {str(r) for r in there.table.routes if there.table.works(r) and not there.owned(r)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(networks(), st.integers(0, 8), st.booleans())
def test_a_failure_at_any_call_leaves_the_table_as_before(
    where: ProviderNetwork, before: NetworkState, at: int, prune: bool
) -> None:
    remember(where, before.memory)
    allowed = replace(ALL, prune=prune)
    provider = InMemory(before.table, before.atomic)
    broken = [at]

    def once(number: int) -> None:
        if number in broken:
            broken.clear()
            raise Stop("locked")

    provider.fault = once
    run = of(where, provider, allowed, workers=3)
    ended = around(run, FAILED, never, hold=False)
    assert ended.status != Status.DONE
    if ended.results[0].state == MachineState.NOT_AS_BEFORE:  # the calls back failed
        now = NetworkState(NAME, provider.now, remembered(where, "7"), provider.atomic)
        plan = plan_table_rollback(cluster(3), now)
        assert (
            TableRun(where, lambda _stopped: provider, plan, RUN).finish().state
            == MachineState.DONE
        )
        assert foreign(before) <= lines(provider.now) <= lines(before.table)
        return
    working = {str(r) for r in before.table.routes if before.table.works(r)}
    assert working <= lines(provider.now) <= lines(before.table)
    assert provider.now.members == before.table.members


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(networks(), st.integers(0, 12))
def test_an_operator_killed_at_any_call_is_cleared_up_by_a_rollback(
    where: ProviderNetwork, before: NetworkState, at: int
) -> None:
    remember(where, before.memory)

    def killed(number: int) -> None:
        if number == at:
            raise Killed

    provider = InMemory(before.table, before.atomic, killed)
    run = of(where, provider, workers=3)
    with suppress(Killed):
        assert run.forward(never) == ""
        run.finish()
    provider.fault = lambda _number: None
    memory = remembered(where, "7")
    added = {str(r) for r in provider.now.routes} - lines(before.table)
    known = {f"{destination} via {gateway}" for destination, gateway in memory.added}
    assert added <= known | foreign(before)
    now = NetworkState(NAME, provider.now, memory, provider.atomic)
    plan = plan_table_rollback(cluster(3), now)
    assert TableRun(where, lambda _stopped: provider, plan, RUN).forward(never) == ""
    ended = TableRun(where, lambda _stopped: provider, plan, RUN).finish()
    assert ended.state == MachineState.DONE
    assert foreign(before) <= lines(provider.now)
    assert lines(provider.now) <= lines(before.table)
    assert provider.now.members == before.table.members or before.memory.unchecked
    assert not where.memory.exists()


# The file.


def test_a_file_of_another_network(where: ProviderNetwork) -> None:
    remember(where, Memory("7", frozenset(map(key, (ZERO,)))))
    with pytest.raises(Stop, match="is about another network, 7, not kubernetes"):
        remembered(where, "8")
    assert remembered(where, "7").ours == {key(ZERO)}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 1}', '{"version": 1, "table": 7}', "\x00", "[" * 100_000],
)
def test_a_file_that_cannot_be_read(where: ProviderNetwork, text: str) -> None:
    where.memory.write_text(text)
    with pytest.raises(Stop, match="cannot be read"):
        remembered(where, "7")


@pytest.mark.parametrize(
    "change",
    [
        {"ours": [["10.200.0.0/24 via x", "10.240.0.6"]]},
        {"run": "\x1b]0;x\x07"},
        {"unchecked": ["eni 1"]},
        {"table": "7\n8"},
        {"runs": [{"run": RUN}]},
        {
            "runs": [
                {"run": "a b", "seen": None, "puts": [], "takes": [], "owned": [], "unchecked": []}
            ]
        },
    ],
)
def test_a_file_with_values_that_are_none(
    where: ProviderNetwork, change: dict[str, object]
) -> None:
    remember(where, Memory("7", frozenset(map(key, (ZERO,)))))
    where.memory.write_text(json.dumps({**json.loads(where.memory.read_text()), **change}))
    with pytest.raises(Stop, match="cannot be read"):
        remembered(where, "7")


def test_a_file_of_a_later_version(where: ProviderNetwork) -> None:
    remember(where, Memory("7", frozenset(map(key, (ZERO,)))))
    where.memory.write_text(json.dumps({**json.loads(where.memory.read_text()), "version": 2}))
    with pytest.raises(Stop, match="later version"):
        remembered(where, "7")


def test_a_file_that_cannot_be_written_stops_before_any_call(tmp_path: Path) -> None:
    where = ProviderNetwork("hetzner", "kubernetes", tmp_path / "none" / "hosts.network.json")
    provider = InMemory(table())
    ended = around(of(where, provider), DONE, never, hold=False)
    assert "cannot be written" in ended.results[0].why
    assert provider.log == []


def test_two_runs_at_once(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.toml"
    hosts.touch()
    with alone(hosts), pytest.raises(Stop, match="another run"), alone(hosts):
        pass
    with alone(hosts):
        pass
