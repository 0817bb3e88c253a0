"""What a machine says of its routes around a change; a stand-in for `ip` says what it must."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tasks.common.script import script
from tasks.common.values import Network
from tasks.rollout.readback import change_questions, undo_questions
from tasks.rollout.steps import Steps
from tests.builders import POD_NETWORKS

PODS = ip_network("10.200.1.0/24")
STEPS = Steps((), (), prefixes=(PODS,), puts=(PODS,))
LINE = "unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 3"


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
    asked = undo_questions(STEPS, POD_NETWORKS)
    return said(
        tmp_path, ip, f"{script('undo/recovery.sh', 'rollout/readback.sh', **asked)}\ntouched"
    ).stdout


def test_a_table_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """Else an undo would find all as before, and do nothing."""
    assert touched(tmp_path, "exit 0") != touched(tmp_path, "exit 1")


@pytest.mark.parametrize("volatile", [" dead linkdown", " expires 60sec", " expires -1sec"])
def test_what_changes_in_a_table_by_itself_is_no_change(tmp_path: Path, volatile: str) -> None:
    there = touched(tmp_path, f"echo '{LINE}'")
    assert there == f"{LINE}\n"
    assert touched(tmp_path, f"echo '{LINE}{volatile}'") == there
    assert touched(tmp_path, f"echo '{LINE} metric 5'") != there


SHOWN = LINE.removeprefix("unicast").removesuffix(" proto 3")
# What stands for each thing that `ip` is asked for: its first words say which.
SHOWS = f"""
case $1 in -6) family=6 ;; *) family=4 ;; esac
while read -r asked; do
  case $asked in
    "route show root"*) echo "all{SHOWN} proto 3 $family" ;;
    "route show proto"*) echo "ours{SHOWN} $family" ;;
    "route show table 254 exact"*) echo "outside{SHOWN} proto 3 $family" ;;
    "route get 192."*) echo "way{SHOWN} cache <local>" ;;
    "route get"*) echo "get{SHOWN} cache" ;;
  esac
done
"""
OUTSIDE = ip_network("192.0.2.0/24")
WITH_OUTSIDE = replace(STEPS, prefixes=(PODS, OUTSIDE))
PRINT = """
printf '%s|' "$table" "$owned" "$touched" "$ways"
gets "$resolves"
printf %s "$found"
[ "${IFS-unset}" = unset ] && echo /proc/self/cmd*
"""


def looked(steps: Steps, pod_networks: Sequence[Network]) -> str:
    """The script that looks what there is, and prints it."""
    asked = change_questions(steps, pod_networks, [ip_address("192.0.2.1")])
    return f"{script('undo/recovery.sh', 'rollout/readback.sh', **asked)}\nlook || exit"


def line(kind: str, family: int = 4) -> str:
    protocol = "" if kind == "ours" else " proto 3"
    return f"{kind}{SHOWN}{protocol} {family}\n"


def answer(kind: str) -> str:
    """What is kept of an answer to `ip route get`."""
    return f"{kind}{SHOWN}\n"


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_each_part_of_what_is_shown_is_what_it_says(tmp_path: Path, shell: str) -> None:
    text = f"{looked(WITH_OUTSIDE, POD_NETWORKS[:1])}\n{PRINT}"
    parts = said(tmp_path, SHOWS, text, shell).stdout.split("|")
    assert parts == [
        line("all") + line("ours"),
        f"== kept 4\n{line('ours')}",
        line("all") + line("outside"),
        answer("way"),
        answer("get") + "/proc/self/cmdline\n",
    ]


def test_the_parts_of_both_families_go_together(tmp_path: Path) -> None:
    text = f"{looked(WITH_OUTSIDE, POD_NETWORKS)}\n{PRINT}"
    table, owned, touched, *_ = said(tmp_path, SHOWS, text).stdout.split("|")
    assert table == line("all") + line("ours") + line("all", 6) + line("ours", 6)
    assert owned == f"== kept 4\n{line('ours')}== kept 6\n{line('ours', 6)}"
    assert touched == line("all") + line("outside") + line("all", 6)


def test_a_second_look_knows_nothing_of_the_first(tmp_path: Path) -> None:
    once = f"[ ! -e {tmp_path}/again ] || exit 0; {SHOWS}"
    look = looked(WITH_OUTSIDE, POD_NETWORKS[:1])
    text = f"{look}\n: >{tmp_path}/again\nlook || exit\n{PRINT}"
    printed = "".join(said(tmp_path, once, text).stdout.split())
    assert printed == "|==kept4|||/proc/self/cmdline"


def test_what_stands_elsewhere_is_not_touched(tmp_path: Path) -> None:
    other = LINE.replace("10.200.1.0/24", "10.200.11.0/24")
    assert touched(tmp_path, f"echo '{other}'; echo '{LINE}'; echo '{other}'") == f"{LINE}\n"


@pytest.mark.parametrize("number", [1, 2])
def test_a_table_that_is_not_shown_to_its_end_is_no_answer(tmp_path: Path, number: int) -> None:
    """The routes inside and ours, and those elsewhere; then the ways, which may be none."""
    count = f"echo >>{tmp_path}/runs; [ $(wc -l <{tmp_path}/runs) != {{}} ] || exit 1"
    text = f"{looked(WITH_OUTSIDE, POD_NETWORKS[:1])}\necho whole"
    assert said(tmp_path, f"{count.format(number)}; {SHOWS}", text).stdout == ""
    (tmp_path / "runs").unlink()
    assert said(tmp_path, f"{count.format(3)}; {SHOWS}", text).stdout == "whole\n"
