"""What a machine says of its routes around a change; a stand-in for `ip` says what it must."""

import os
import subprocess
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.facts import Displaced
from tasks.readback import joined, look_function, touched_function
from tasks.steps import Steps

from .builders import POD_NETWORKS

PODS = ip_network("10.200.1.0/24")
STEPS = Steps((), (), prefixes=(PODS,), puts=(PODS,))
LINE = "unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0"
DIVIDER = "1: lo: <LOOPBACK>"


def said(
    tmp_path: Path, ip: str, script: str, shell: str = "sh"
) -> subprocess.CompletedProcess[str]:
    """What a script does on a machine whose `ip` is another script."""
    (tmp_path / "ip").write_text(f"#!/bin/sh\n{ip}\n")
    (tmp_path / "ip").chmod(0o755)
    return subprocess.run(
        [shell, "-c", script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def touched(tmp_path: Path, ip: str) -> str:
    """What stands at the prefixes of the steps."""
    return said(tmp_path, ip, f"{touched_function(STEPS, POD_NETWORKS)}\ntouched").stdout


def test_a_table_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """Else an undo would find all as before, and do nothing."""
    assert touched(tmp_path, "exit 0") != touched(tmp_path, "exit 1")


@pytest.mark.parametrize("passing", [" dead linkdown", " expires 60sec", " expires -1sec"])
def test_what_changes_in_a_table_by_itself_is_no_change(tmp_path: Path, passing: str) -> None:
    there = touched(tmp_path, f"echo '{LINE}'")
    assert there == f"{LINE}\n"
    assert touched(tmp_path, f"echo '{LINE}{passing}'") == there
    assert touched(tmp_path, f"echo '{LINE} metric 5'") != there


def shown(*parts: str) -> str:
    """A stand-in for `ip` that shows these parts."""
    return "\n".join(f"echo '{part}'; echo '{DIVIDER}'" for part in parts)


REST = LINE.removeprefix("unicast")
PARTS = [f"{part}{REST}  *" for part in ("all", "ours", "outside", "way", "get")]
SIX = [f"{part}{REST} 6" for part in ("all", "ours", "outside")]
PRINT = """
printf '%s|' "$table" "$owned" "$touched" "$ways" "$resolved"
[ "${IFS-unset}" = unset ] && echo /proc/self/cmd*
"""


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_each_part_of_what_is_shown_is_what_it_says(tmp_path: Path, shell: str) -> None:
    script = f"{look_function(STEPS, POD_NETWORKS[:1], [])}\nlook after || exit\n{PRINT}"
    done = said(tmp_path, shown(*PARTS[:3], f"{PARTS[3]} cache <local>", PARTS[4]), script, shell)
    parts = done.stdout.split("|")
    whole, ours, outside, way, get = (f"{part}\n" for part in PARTS)
    owned, touched = f"== kept 4\n{ours}", whole + outside
    assert parts == [whole + ours, owned, touched, way, get, "/proc/self/cmdline\n"]


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_parts_of_both_families_go_together(tmp_path: Path, shell: str) -> None:
    script = f"{look_function(STEPS, POD_NETWORKS, [])}\nlook after || exit\n{PRINT}"
    both = f"case $1 in -6) {shown(*SIX)} ;; *) {shown(*PARTS)} ;; esac"
    parts = said(tmp_path, both, script, shell).stdout.split("|")
    whole, ours, outside, way, get = (f"{part}\n" for part in PARTS)
    whole6, ours6, outside6 = (f"{part}\n" for part in SIX)
    assert parts[0] == whole + ours + whole6 + ours6
    assert parts[1] == f"== kept 4\n{ours}== kept 6\n{ours6}"
    assert parts[2] == whole + outside + whole6 + outside6
    assert parts[3:5] == [way, get]


ADD, DEL = "route add 10.200.1.0/24 via 10.240.0.7", "route del 10.200.1.0/24 via 10.240.0.99"


@pytest.mark.parametrize(
    ("made", "together"),
    [
        (replace(STEPS, do=(ADD,)), True),
        (replace(STEPS, do=(ADD, DEL)), False),
        (replace(STEPS, do=(ADD.replace("add", "replace"),)), False),
        (replace(STEPS, do=(ADD,), restores=(Displaced("run_4_10.200.1.0-24_static", ()),)), False),
        (replace(STEPS, do=(ADD,), prefixes=(PODS, ip_network("fd00::/64"))), False),
        (STEPS, False),
    ],
    ids=["adds", "and a delete", "a replace", "and a restore", "of both families", "nothing"],
)
def test_only_what_takes_nothing_away_is_done_where_ip_goes_on_after_a_failure(
    tmp_path: Path, made: Steps, together: bool
) -> None:
    assert joined(made) == (made.do if together else ())
    (tmp_path / "pending").mkdir()
    look = look_function(made, POD_NETWORKS[:1], [])
    ip = f"echo refused >&2; cat >{tmp_path}/lines; {shown(*PARTS)}"
    done = said(tmp_path, ip, f"cd {tmp_path}\n{look}\nlook after || exit\n{PRINT}")
    assert done.returncode == 0
    assert (tmp_path / "lines").read_text().startswith(ADD) == together
    assert (tmp_path / "pending/said").exists() == together


def test_what_ip_says_of_ipv6_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    look = look_function(replace(STEPS, do=(ADD,)), POD_NETWORKS, [])
    both = f"case $1 in -6) echo refused >&2; {shown(*SIX)} ;; *) {shown(*PARTS)} ;; esac"
    done = said(tmp_path, both, f"cd {tmp_path}\n{look}\nlook after && echo $failed")
    assert done.stdout == "0\n"
    assert (tmp_path / "pending/said").read_text() == ""


def test_a_second_look_knows_nothing_of_the_first(tmp_path: Path) -> None:
    """On the second look `ip` shows nothing but the dividers."""
    once = f"if [ -e {tmp_path}/again ]; then {shown(*[''] * 5)}; else {shown(*PARTS)}; fi"
    ip = f"{once}; : >{tmp_path}/again"
    script = (
        f"{look_function(STEPS, POD_NETWORKS[:1], [])}\nlook after; look after || exit\n{PRINT}"
    )
    printed = "".join(said(tmp_path, ip, script).stdout.split())
    assert printed == "|==kept4||||/proc/self/cmdline"


def test_what_stands_elsewhere_is_not_touched(tmp_path: Path) -> None:
    other = LINE.replace("10.200.1.0/24", "10.200.11.0/24")
    assert touched(tmp_path, f"echo '{other}'; echo '{LINE}'; echo '{other}'") == f"{LINE}\n"


def test_what_is_not_shown_to_its_end_is_no_answer(tmp_path: Path) -> None:
    script = f"{look_function(STEPS, POD_NETWORKS[:1], [])}\nlook after"
    assert said(tmp_path, shown(*PARTS), script).returncode == 0
    for number in range(5):
        assert said(tmp_path, shown(*PARTS[:number]), script).returncode == 1
    torn = f"{shown(*PARTS[:4])}\necho '{PARTS[4]}'"
    assert said(tmp_path, torn, script).returncode == 1
    assert said(tmp_path, "exit 1", script).returncode == 1
