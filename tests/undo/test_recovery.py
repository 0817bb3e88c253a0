"""The change that waits on a machine, ended by the real scripts and a real kernel, without ssh."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.common.script import Script
from tasks.facts.gather import question
from tasks.rollout.carry_out import carry_out
from tasks.rollout.steps import Steps
from tasks.undo import recovery
from tasks.undo.run import Run
from tests.builders import POD_NETWORKS
from tests.scripts import APART, SHELLS, answer

PODS = ip_network("10.200.1.0/24")
ROUTE = "10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214"
STEPS = Steps((f"route add {ROUTE}",), (f"route del {ROUTE}",), prefixes=(PODS,), puts=(PODS,))
RUN = Run("20260101T000000.1", "ina@pc", 60, POD_NETWORKS, since="08:00:00")
OTHER = Run("20260101T000000.2", "ina@pc", 60, POD_NETWORKS, since="08:00:01")
ARMED = "[ -d /run/pod-routes/pending ] && ip route show proto 214"
LEFT = """echo '== left'
ip route show proto 214
ls /run/pod-routes
cat /var/lib/pod-routes/history 2>/dev/null || :"""


def ended(tmp_path: Path, *scripts: Script, between: str = ":", shell: str) -> tuple[str, str]:
    """What these scripts answer where a change waits, and what is left on the machine."""
    change = carry_out(STEPS, "", RUN, [], "1 add")
    waits = f"{APART}\necho go >said\n(\n{change}\nmain 3<said </dev/null >/dev/null\n)\n{ARMED}"
    *first, last = scripts
    before = "\n".join([waits, between, *(f"(\n{script}\nmain\n)" for script in first)])
    said = answer(last, tmp_path, before=before, after=LEFT, shell=shell)
    assert said.startswith("10.200.1.0/24 via 10.240.0.7")
    answers, _, left = said.partition("== left\n")
    return answers.partition("\n")[2], left


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_kept_once(shell: str, tmp_path: Path) -> None:
    confirm = recovery.confirm(RUN)
    answers, left = ended(tmp_path, confirm, confirm, shell=shell)
    kept, fired = answers.split("== fired\n")
    assert kept.split() == ["==", "kept"]
    assert "ina@pc\t1 add\tkept" in fired
    assert "10.200.1.0/24 via 10.240.0.7" in left
    assert "pending" not in left


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_reverted_as_often_as_it_is_asked(shell: str, tmp_path: Path) -> None:
    back = recovery.revert_run(RUN, "another machine failed")
    answers, left = ended(tmp_path, back, back, shell=shell)
    assert answers == "== done\n== done\n"
    assert "10.200.1.0/24" not in left
    assert left.count("undone: another machine failed") == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_what_was_kept_is_not_reverted(shell: str, tmp_path: Path) -> None:
    scripts = recovery.confirm(RUN), recovery.revert_run(RUN, "why")
    answers, left = ended(tmp_path, *scripts, shell=shell)
    assert answers.split() == ["==", "kept", "==", "kept"]
    assert "10.200.1.0/24 via 10.240.0.7" in left


@pytest.mark.parametrize("shell", SHELLS)
def test_only_what_waits_is_dropped(shell: str, tmp_path: Path) -> None:
    scripts = recovery.revert_pending(OTHER, "dropped"), recovery.revert_pending(RUN, "dropped")
    answers, left = ended(tmp_path, *scripts, shell=shell)
    assert answers == "== fired\n== done\n"
    assert "undone: dropped" in left


@pytest.mark.parametrize("shell", SHELLS)
def test_the_deadline_of_another_run_is_not_pushed(shell: str, tmp_path: Path) -> None:
    answers, left = ended(tmp_path, recovery.push(OTHER), recovery.push(RUN), shell=shell)
    assert answers == "== fired\n== armed\n"
    assert "pending" in left


@pytest.mark.parametrize("shell", SHELLS)
def test_who_asks_a_machine_takes_back_what_is_overdue(shell: str, tmp_path: Path) -> None:
    """Where the watchdog is dead; a change that is not overdue stays."""
    asked = question(POD_NETWORKS, [], False, recovery.settle(OTHER))
    dead = 'kill -9 "$(cat /run/pod-routes/pending/pid)"'
    _, left = ended(tmp_path, asked, between=dead, shell=shell)
    assert "pending" in left
    overdue = f"{dead}\necho 0 >>/run/pod-routes/pending/deadline"
    _, left = ended(tmp_path, asked, between=overdue, shell=shell)
    assert "10.200.1.0/24" not in left
    assert "undone: overdue" in left
