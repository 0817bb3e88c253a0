"""The installation of BIRD, with a package manager that only says what it was asked."""

from pathlib import Path

import pytest

from tasks.common.script import script
from tests.scripts import APART, SHELLS, answer, stub

# No program of this computer is in the way, neither BIRD nor a package manager.
BEFORE = f"""{APART}
for program in bird apt-get dnf; do
  for place in /usr/sbin /usr/bin; do
    [ ! -e $place/$program ] || mount --bind /dev/null $place/$program
  done
done"""
LOOK = """echo "== asked"; cat asked
echo "== mask"; readlink /etc/systemd/system/bird.service"""
# Notes what it is asked, and whether the service is masked by then.
NOTES = "echo ${0##*/} $NEEDRESTART_SUSPEND $* $(readlink /etc/systemd/system/bird.service) >>asked"
BRINGS = "printf '#!/bin/sh\\n[ $1 = --version ]' >bird; chmod 755 bird"
MASK = "/dev/null"


def said(
    tmp_path: Path, manager: str, does: str, shell: str = "sh", before: str = "", limit: int = 60
) -> list[str]:
    """What the script says, what the manager was asked, and what is left of the mask."""
    stub(tmp_path, manager, f"{NOTES}\n{does}\n")
    script_ = script("bgp/install.sh", limit=limit)
    return answer(
        script_, tmp_path, before=f"{BEFORE}\n{before}", after=f"{LOOK} || :", shell=shell
    ).splitlines()


def apt(*words: str) -> str:
    return " ".join(("apt-get 1 -q -y -o DPkg::Lock::Timeout=60", *words, MASK))


INSTALL = apt("install", "--no-install-recommends", "bird2")


@pytest.mark.parametrize("shell", SHELLS)
def test_apt_brings_it_with_its_service_masked_first(shell: str, tmp_path: Path) -> None:
    shown = said(tmp_path, "apt-get", BRINGS, shell)
    assert shown == ["== installed", "== asked", INSTALL, "== mask", MASK]


def test_dnf_brings_it_with_its_service_masked_first(tmp_path: Path) -> None:
    shown = said(tmp_path, "dnf", BRINGS)
    asked = f"dnf install -q -y bird {MASK}"
    assert shown == ["== installed", "== asked", asked, "== mask", MASK]


def test_lists_of_packages_that_are_old_are_fetched_first(tmp_path: Path) -> None:
    fails_once = f"case $* in *update*) touch fresh ;; *) [ -e fresh ] && {BRINGS} ;; esac"
    shown = said(tmp_path, "apt-get", fails_once)
    asked = [INSTALL, apt("update"), INSTALL]
    assert shown == ["== installed", "== asked", *asked, "== mask", MASK]


@pytest.mark.parametrize(
    "words",
    [
        "E: Failed to fetch http://mirror/bird2.deb  Could not resolve 'mirror'",
        "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)",
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "E: Held packages were changed and -y was used without --allow-change-held-packages.",
    ],
)
def test_why_it_fails_is_said_and_the_mask_goes(words: str, tmp_path: Path) -> None:
    fails = f"""echo Reading package lists...
case $* in *update*) exit 0 ;; esac
cat >&2 <<'END'
{words}
END
echo "Some more that nobody needs"; exit 100"""
    shown = said(tmp_path, "apt-get", fails)
    assert shown[:3] == ["== failed", *[words] * 2]
    assert shown[-1] == "== mask"


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    shown = said(tmp_path, "apt-get", "exec sleep 300", limit=1)
    words = "apt-get did not end within 1 s"
    assert shown == ["== failed", words, "== asked", INSTALL, "== mask"]


def test_there_is_no_package_manager(tmp_path: Path) -> None:
    shown = said(tmp_path, "pacman", "")
    assert shown[:2] == ["== failed", "there is neither apt-get nor dnf: install BIRD 2 by hand"]
    assert shown[-1] == "== mask"


def test_a_mask_that_was_there_stays(tmp_path: Path) -> None:
    mask = "mkdir -p /etc/systemd/system && ln -s /dev/null /etc/systemd/system/bird.service"
    shown = said(tmp_path, "apt-get", "exit 100", before=mask)
    assert shown[0] == "== failed"
    assert shown[-2:] == ["== mask", MASK]
