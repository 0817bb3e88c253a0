"""What a machine reports of a change, read without trust."""

import contextlib
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.planning.model import Change, MachinePlan
from tasks.rollout.outcome import Outcome, ScriptState, read_outcome
from tasks.rollout.result import MachineState, machine_result
from tasks.rollout.steps import Steps
from tasks.undo.records import Displaced
from tests.builders import route

PUT = Steps(("route add 10.200.1.0/24 via 10.240.0.7 dev e0 proto 214",), ())


@pytest.mark.parametrize(
    ("line", "next_hop"),
    [
        ("10.200.1.1 via 10.240.0.7 dev e0 src 10.240.0.6 uid 0 \\    cache", "10.240.0.7"),
        ("10.200.1.1 via inet6 fd00::7 dev e0 src 10.240.0.6 uid 0 \\    cache", "fd00::7"),
        ("10.200.1.1 dev e0 src 10.240.0.6 uid 0 \\    cache", None),
        ("local 10.200.1.1 dev lo table local src 10.200.1.1 uid 0 \\    cache <local>", None),
        ("multicast 239.1.1.1 dev e0 table local src 10.240.0.6 uid 0 \\    cache <mc>", None),
    ],
)
def test_where_the_kernel_sends_packets(line: str, next_hop: str | None) -> None:
    ((address, via),) = read_outcome(f"== done\n== get\n{line}\n", PUT).ways
    assert address == ip_address(line.removeprefix("local ").removeprefix("multicast ").split()[0])
    assert via == (ip_address(next_hop) if next_hop else None)


@pytest.mark.parametrize("line", ["unicast", "10.200.1.1 via", "10.200.1.1 via inet6", "via dev"])
def test_a_broken_line_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        read_outcome(f"== done\n== get\n{line}\n", PUT)


def test_the_line_that_failed_is_named() -> None:
    said = "RTNETLINK answers: File exists\nCommand failed -:1"
    outcome = read_outcome(f"== undone\n{said}\n", PUT)
    assert (outcome.line, outcome.words) == (f"ip {PUT.do[0]}", "RTNETLINK answers: File exists")
    assert read_outcome("== undone\nCommand failed -:7\n", PUT).line == ""


@pytest.mark.parametrize("volatile", [" linkdown", " dead linkdown", " expires 17sec"])
def test_what_was_displaced_while_its_link_was_down_is_there_once_it_is_up(volatile: str) -> None:
    record = route(f"unicast 10.200.1.0/24 via 10.240.0.9 dev e0 proto static{volatile}")
    machine = MachinePlan("worker-0", (), restores=(Displaced("file", (record,)),))
    said = "== done\n== route\nunicast 10.200.1.0/24 via 10.240.0.9 dev e0 proto static\n== get\n"
    assert machine_result(machine, Steps((), ()), said).state == MachineState.DONE
    taken = replace(machine, restores=(), changes=(Change(None, (record,)),))
    assert "is still there" in machine_result(taken, Steps((), ()), said).why


SECTIONS = st.sampled_from([*(state.value for state in ScriptState), "get", "route"])
WORDS = st.sampled_from("unicast via inet6 dev e0 10.1.0.0/24 fd00::1 nexthop metric".split())
LINES = st.lists(st.lists(WORDS | st.text(max_size=8), max_size=6).map(" ".join), max_size=4)


@given(st.lists(st.tuples(SECTIONS, LINES), max_size=6))
def test_nonsense_is_a_value_error_or_an_outcome(found: list[tuple[str, list[str]]]) -> None:
    answer = "".join(f"== {name}\n" + "\n".join(lines) + "\n" for name, lines in found)
    with contextlib.suppress(ValueError):
        assert isinstance(read_outcome(answer, PUT), Outcome)
