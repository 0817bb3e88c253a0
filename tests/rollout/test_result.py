"""How a machine ended, by what its script reports when it is told to keep or to revert a change."""

import pytest

from tasks.rollout.result import MachineResult, MachineState, kept_result, reverted_result
from tasks.ssh.errors import MachineError

CHANGED = MachineResult("worker-0", MachineState.DONE)


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        ("== kept\n", MachineState.DONE, ""),
        ("== unpersisted\nno disk\n", MachineState.FILES_NOT_CHANGED, "no disk"),
        ("== fired\n", MachineState.UNCONFIRMED, "not confirmed: too late: the change was"),
        ("== locked\nops\n", MachineState.UNCONFIRMED, "not confirmed: another run is at work"),
        ("", MachineState.IN_DOUBT, "confirmed or not: the answer breaks off"),
        (MachineError("lost"), MachineState.IN_DOUBT, "confirmed or not: lost"),
    ],
)
def test_a_machine_that_was_told_to_keep(
    answer: str | MachineError, state: MachineState, why: str
) -> None:
    result = kept_result(CHANGED, answer)
    assert result.state == state
    assert result.why.startswith(why)


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        ("== done\n", MachineState.AS_BEFORE, ""),
        ("== broken\n", MachineState.NOT_AS_BEFORE, "its undo does not lead back"),
        ("== kept\n", MachineState.NOT_AS_BEFORE, "somebody has confirmed it meanwhile"),
        ("== locked\nops\n", MachineState.UNKNOWN, "going back: another run is at work there: ops"),
        ("", MachineState.UNKNOWN, "going back: no answer: the answer breaks off"),
        (MachineError("lost"), MachineState.UNKNOWN, "going back: no answer: lost"),
    ],
)
def test_a_machine_that_was_told_to_revert(
    answer: str | MachineError, state: MachineState, why: str
) -> None:
    result = reverted_result(CHANGED, answer)
    assert result.state == state
    assert result.why.startswith(why)
