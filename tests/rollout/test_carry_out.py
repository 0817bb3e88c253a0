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
from tests.scripts import APART, SHELLS, answer, stub

PODS = ip_network("10.200.1.0/24")
ROUTE = "10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214"
STEPS = Steps((f"route add {ROUTE}",), (f"route del {ROUTE}",), prefixes=(PODS,), puts=(PODS,))
RUN = Run("20260101T000000.1", r"EXAMPLE\nina@pc\01", 60, POD_NETWORKS, since="08:00:00")
WHAT = r"1 put \there"


def carried(
    tmp_path: Path, *said: str, before: str = ":", after: str = ":", shell: str = "sh"
) -> str:
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


# Stands for setsid: the watchdog finds only the programs in a directory, as in a unit of NixOS.
SETSID = """PATH=${PATH#*:}
mkdir /run/few
for program in sh mv rm cat tail cut date sed sleep flock mkdir readlink; do
  ln -s "$(command -v $program)" /run/few/
done
FAULT
PATH=/run/few exec /usr/bin/setsid "$@"
"""
DENIES = """cat >/run/few/ip <<'END'
#!/bin/sh
case $* in *" del "*) echo "RTNETLINK answers: Operation not permitted"; exit 2 ;; esac
exec /usr/sbin/ip "$@"
END
chmod +x /run/few/ip"""
READ_ONLY = """set -- unshare --mount sh -c 'mount -o remount,bind,ro /run; exec "$@"' sh "$@"
ln -s /usr/bin/unshare /usr/bin/mount /run/few"""
NO_WATCHDOG = "! ps ax -o args | grep '[p]ending/watch'"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("rm /run/few/sleep", "sleep is not in /run/few"),
        ("rm /run/few/flock", "flock is not in /run/few"),
        ("rm /run/few/mv", "mv is not in /run/few"),
        ("ln -s /bin/false /run/few/ip", "it does not see the same routes"),
        (DENIES, "Operation not permitted"),
        ("export SUDO_INTERCEPT_FD=3", "log_subcmds"),
        ('ln -s /usr/bin/unshare /run/few; set -- unshare --net "$@"', "another network"),
        ("exit", "does not start"),
        (READ_ONLY, "does not start"),
    ],
)
def test_a_watchdog_that_cannot_do_its_work_arms_nothing(
    fault: str, said: str, tmp_path: Path
) -> None:
    """The reason is told, nothing is changed, and nothing is left."""
    stub(tmp_path, "setsid", SETSID.replace("FAULT", fault))
    if said == "does not start":
        stub(tmp_path, "sleep", "exit 0\n")  # nobody waits for long
    ended = f"until {NO_WATCHDOG}; do /bin/sleep 0.05; done"
    answered = carried(
        tmp_path, "go", after=f"{ended}; echo; ip route show proto 214; ls /run/pod-routes"
    )
    assert answered.startswith("== unarmed\n")
    words, _, left = answered.rpartition("\n\n")
    assert said in words
    assert left.split() == ["displaced", "lock"]


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ("rm /run/few/sleep", "undone: not confirmed"),  # it comes early
        ("rm /run/few/flock", "undone: not confirmed"),
        ("rm /run/few/*", ""),
    ],
    ids=["sleep", "flock", "everything"],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_watchdog_whose_programs_go_takes_back_what_it_can_and_ends(
    fault: str, ending: str, shell: str, tmp_path: Path
) -> None:
    """It neither spins nor waits for ever."""
    stub(tmp_path, "setsid", SETSID.replace("FAULT", "ln -s /usr/sbin/ip /run/few"))
    gone = f"""{fault}
echo 0 >>/run/pod-routes/pending/deadline
pkill -P "$(cat /run/pod-routes/pending/pid)"
until {NO_WATCHDOG}; do sleep 0.05; done
cat /var/lib/pod-routes/history 2>/dev/null || :"""
    said = carried(tmp_path, "go", after=gone, shell=shell)
    assert "== done" in said
    assert ending in said.rpartition("== ready")[2]
