"""Steps: the lines for a machine, and the scripts around them."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.connectivity.ping import Target, ping_script
from tasks.connectivity.probe import Probe
from tasks.facts.gather import question
from tasks.persistence.backends import File, Files
from tasks.planning.model import Change, MachinePlan
from tasks.rollout.carry_out import _undo, carry_out
from tasks.rollout.outcome import ScriptState, read_outcome
from tasks.rollout.steps import Steps, steps
from tasks.undo import recovery
from tasks.undo.records import Displaced
from tasks.undo.run import Run
from tests.builders import POD_NETWORKS, facts, node, pods, route, wanted

OURS = route(wanted(1))
OLD = route(f"{pods(1)} via {node(9)} dev enp6s0 proto 214")
FOREIGN = route(f"{pods(1)} via {node(9)} dev enp6s0 proto static")
WORSE = route(f"{pods(1)} via {node(9)} dev enp6s0 proto static metric 50")
BLACKHOLE = route(f"blackhole {pods(1)} proto boot metric 9")
MULTIPATH = route(f"{pods(1)} proto bird nexthop via {node(8)} dev a nexthop via {node(9)} dev b")

PUT, TAKE = f"{pods(1)} via {node(1)} dev enp6s0", f"{pods(1)} via {node(9)} dev enp6s0"


@pytest.mark.parametrize(
    ("change", "do", "undo", "keeps"),
    [
        (Change(OURS), [f"route add {PUT} proto 214"], [f"route del {PUT} proto 214"], 0),
        (
            Change(OURS, (OLD,)),
            [f"route replace {PUT} proto 214"],
            [f"route replace {TAKE} proto 214"],
            0,
        ),
        (
            Change(OURS, (FOREIGN,)),
            [f"route replace {PUT} proto 214"],
            [f"route del {PUT} proto 214"],
            1,
        ),
        (
            Change(OURS, (WORSE,)),
            [f"route add {PUT} proto 214", f"route del {TAKE} proto 4 metric 50"],
            [f"route del {PUT} proto 214"],
            1,
        ),
        (
            Change(None, (OLD,)),
            [f"route del {TAKE} proto 214"],
            [f"route add {TAKE} proto 214"],
            0,
        ),
        (
            Change(OURS, (BLACKHOLE,)),
            [f"route add {PUT} proto 214", f"route del blackhole {pods(1)} proto 3 metric 9"],
            [f"route del {PUT} proto 214"],
            1,
        ),
        (Change(None, (MULTIPATH,)), [f"route del {pods(1)} proto 12"], [], 1),
    ],
)
def test_lines(change: Change, do: list[str], undo: list[str], keeps: int) -> None:
    made = steps(MachinePlan("worker-0", (change,)), "run")
    assert (list(made.do), list(made.undo), len(made.keeps)) == (do, undo, keeps)


def test_the_way_back_is_the_way_there_in_reverse() -> None:
    other = route(wanted(2))
    made = steps(MachinePlan("worker-0", (Change(OURS), Change(other))), "run")
    assert [line.split()[2] for line in made.undo] == [pods(2), pods(1)]


HOSTILE = "a'b; touch /tmp/x $(id) `id` \\ \"#"


def scripts() -> list[str]:
    """Every script that a machine is ever given, with names as bad as can be."""
    run = Run("20260101T000000.1", HOSTILE, 60, POD_NETWORKS)
    taken = replace(route(f"{pods(1)} via {node(9)} dev enp6s0"), protocol=HOSTILE)
    kept = Displaced(f"r_4_x_{HOSTILE}", (FOREIGN,))
    made = steps(MachinePlan("worker-0", (Change(OURS, (taken,)),), restores=(kept,)), "run")
    asked = facts(0, pod_bridge=HOSTILE)
    probe = Probe(asked.addresses[0][1].ip, OURS.prefix, None)
    return [
        question(POD_NETWORKS, [probe.address], True, recovery.settle(run)),
        carry_out(made, HOSTILE, run, [HOSTILE], HOSTILE),
        carry_out(Steps((), ()), "", run, [], ""),
        recovery.revert_run(run, HOSTILE),
        recovery.revert_pending(run, HOSTILE),
        recovery.push(run),
        recovery.confirm(run, [kept]),
        _undo(made, run),
        ping_script((probe,), asked, [Target("worker-1", probe.address, probe.address)]),
        ping_script((), asked, []),
    ]


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_every_script_is_a_script(shell: str) -> None:
    for text in scripts():
        done = subprocess.run(
            [shell, "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + text


def test_what_failed_is_named_with_the_kernels_words() -> None:
    made = steps(MachinePlan("worker-0", (Change(OURS), Change(route(wanted(2))))), "run")
    said = "== undone\nRTNETLINK answers: File exists\nCommand failed -:2\n"
    outcome = read_outcome(said, made)
    assert outcome.state == ScriptState.UNDONE
    assert outcome.line == f"ip {made.do[1]}"
    assert outcome.words == "RTNETLINK answers: File exists"


@given(st.text())
def test_nonsense_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="breaks off"):
        read_outcome(text.replace("== ", ""), Steps((), ()))


def test_the_lines_of_a_dry_run_make_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a b.d" / "file"
    files = Files((File(str(path), "it's\n", "755"), File(f"{tmp_path}/c/l", "", target=str(path))))
    lines = steps(MachinePlan("worker-0", files=files), "run").lines
    subprocess.run(["sh", "-e"], input="\n".join(lines), text=True, check=True)
    assert Path(f"{tmp_path}/c/l").read_text() == "it's\n"
    assert path.stat().st_mode & 0o777 == 0o755
