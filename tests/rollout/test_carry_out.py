"""Changes as a machine carries them out, by the real scripts and a real kernel, without ssh."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.facts.gather import question
from tasks.facts.parse import read
from tasks.rollout.carry_out import carry_out
from tasks.rollout.steps import Steps
from tasks.undo.recovery import push
from tasks.undo.run import Run, new_run
from tests.builders import POD_NETWORKS
from tests.scripts import APART, SHELLS, answer

PODS = ip_network("10.200.1.0/24")
ROUTE = "10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214"
STEPS = Steps((f"route add {ROUTE}",), (f"route del {ROUTE}",), prefixes=(PODS,), puts=(PODS,))
RUN = Run("20260101T000000.1", r"EXAMPLE\nina@pc\01", 60, POD_NETWORKS, since="08:00:00")
WHAT = r"1 put \there"


def carried(tmp_path: Path, *said: str, before: str = ":", after: str = ":", shell: str) -> str:
    """What a machine answers that is given a change, and then told these words."""
    words = f"printf '%s\\n' {' '.join(said)} >said"
    change = carry_out(STEPS, "", RUN, [], WHAT)
    return answer(change, tmp_path, before=f"{APART}\n{before}\n{words}", after=after, shell=shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_who_waits_is_named_as_he_is(shell: str, tmp_path: Path) -> None:
    """As users of a Windows domain are, with a backslash."""
    ask = f"(\n{question(POD_NETWORKS, [], False)}\nmain\n)"
    said = carried(tmp_path, "go", after=ask, shell=shell)
    done, missing, rest = said.partition("== missing")
    facts = read(missing + rest)
    assert "== done" in done
    assert facts.pending is not None
    assert (facts.pending.who, facts.pending.what) == (RUN.who, WHAT)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_stays_in_its_own_directory(shell: str, tmp_path: Path) -> None:
    """Wherever CDPATH leads, which root's rc files may have exported."""
    before = "mkdir -p /run/other/displaced /run/other/pending.new\nexport CDPATH=/run/other"
    said = carried(tmp_path, "go", "keep", before=before, after="ls /run/other/*", shell=shell)
    assert "== kept" in said
    assert said.endswith("/run/other/displaced:\n\n/run/other/pending.new:\n")


def test_who_is_one_line_that_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment may hold any bytes, and a line for each of these is kept on the machines."""
    monkeypatch.setenv("LOGNAME", "ina\n== kept\t\x1b\udcff")
    run = new_run(POD_NETWORKS, 60)
    assert run.who.startswith("ina == kept ??@")
    assert push(run).encode()
