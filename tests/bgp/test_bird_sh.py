"""A BIRD of this tool's own on a machine, with the real BIRD, in a namespace of its own."""

from pathlib import Path

import pytest

from tasks.bgp.bird_conf import BOOT, METRIC, RUN, bird_conf, password_conf
from tasks.common.script import script
from tasks.inventory.model import Bgp
from tasks.iproute.names import MAIN
from tests.builders import cluster
from tests.scripts import APART, SHELLS, answer

WHOLE = cluster(2)
CONF = bird_conf(WHOLE, Bgp(), WHOLE.machines[0])
OTHER = bird_conf(WHOLE, Bgp(as_number=65000), WHOLE.machines[0])
# A route as BIRD puts it there, and one of another BIRD.
ROUTES = f"""ip route add 10.200.1.0/24 via 10.240.0.7 proto bird metric {METRIC}
ip route add 10.200.2.0/24 via 10.240.0.8 proto bird metric 32"""
LOOK = f"""echo "== left"
ip -oneline route show proto bird
ls {RUN} 2>&1 | sed 's/ls: cannot access//'
pgrep -x bird >/dev/null && echo runs"""


def said(tmp_path: Path, does: str, shell: str = "sh") -> str:
    functions = script(
        "bgp/bird.sh",
        bird_run=RUN,
        bird_boot=BOOT,
        bird_unit="pod-routes-bird.service",
        bird_metric=METRIC,
        main_table=MAIN,
        conf=CONF,
        password=password_conf("a-secret"),
        another=password_conf("changed"),
        other=OTHER,
    )
    before = f"{APART}\ngrep -q ^bird: /etc/group || echo bird:x:999: >>/etc/group"
    # The accounts are those of this computer, though /etc is empty.
    accounts = "getent passwd bird >passwd; getent group bird >group"
    mount = f"{accounts}\n{before}\ncat passwd >>/etc/passwd; cat group >>/etc/group"
    return answer(f"{functions}\nmain() {{\n{does}\n}}", tmp_path, before=mount, shell=shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_comes_and_goes_with_all_that_it_brought(shell: str, tmp_path: Path) -> None:
    shown = said(
        tmp_path,
        f'bird_on "$conf" "$password" ""\nbird_runs && echo up\n{ROUTES}\nbird_off\n{LOOK}',
        shell,
    )
    assert "up" in shown
    left = shown.partition("== left\n")[2]
    assert left.splitlines()[0].startswith("10.200.2.0/24")
    assert "runs" not in left
    assert "bird.conf" not in left


def test_one_that_hangs_is_ended_all_the_same(tmp_path: Path) -> None:
    shown = said(
        tmp_path,
        f"""bird_on "$conf" "$password" "" && kill -STOP "$(pgrep -x bird)"
bird_off
{LOOK}""",
    )
    assert "runs" not in shown.partition("== left\n")[2]


def test_it_goes_back_to_what_it_was(tmp_path: Path) -> None:
    """To an earlier configuration, or to nothing."""
    shown = said(
        tmp_path,
        """mkdir /run/none /run/first
keep_bird /run/none
bird_on "$conf" "$password" ""
keep_bird /run/first
bird_on "$other" "$another" ""
bird_back /run/first
cat "$bird_run/bgp-password.conf"
birdc -s "$bird_control" show protocols all | grep 'Local AS'
bird_back /run/none
"""
        + LOOK,
    )
    before, _, left = shown.partition("== left\n")
    assert 'password "a-secret";' in before
    assert "64512" in before
    assert "65000" not in before
    assert "runs" not in left
    assert "bird.conf" not in left


def test_a_configuration_that_bird_refuses_starts_nothing(tmp_path: Path) -> None:
    shown = said(tmp_path, f'bird_on "nonsense;" "" "" 2>&1 || echo refused\n{LOOK}')
    assert "syntax error" in shown
    assert "refused" in shown
    assert "runs" not in shown.partition("== left\n")[2]


def test_the_password_is_for_bird_alone(tmp_path: Path) -> None:
    shown = said(
        tmp_path,
        """bird_on "$conf" "$password" ""
cd "$bird_run" && stat -c '%A %G %n' *.conf
cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'a-[s]ecret'""",
    )
    assert "-rw-r----- bird bgp-password.conf" in shown
    assert "-rw-r----- bird bird.conf" in shown
    assert shown.splitlines()[-1] == "0"
