"""A machine of another Debian release: booted by its own systemd, on the links of a twin's machine.

It has the root that `build.sh` made, under a layer of its own, and the network that one of its
network managers gives it. So it can be rebooted: then all processes, links and /run are new.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.lab.conftest import Lab
from tests.lab.namespaces import namespaces, wait_for
from tests.paths import PROJECT

from .managers import FILES, UNITS

CACHE = PROJECT / ".releases"
OWN = "own"  # this computer's root instead of one that `build.sh` has made
RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid")
USER = "admin"  # an account with sudo that `build.sh` has made
PATIENCE = 120  # seconds for a boot on a busy computer

# What would reach beyond the machine: devices, modules and clocks belong to this computer. And
# what waits for devices, or for the mirror.
MASKED = """systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket
systemd-udevd-control.socket systemd-udevd-varlink.socket systemd-modules-load.service
systemd-sysctl.service systemd-binfmt.service systemd-timesyncd.service systemd-random-seed.service
systemd-journald-audit.socket systemd-remount-fs.service systemd-logind.service
systemd-resolved.service systemd-hostnamed.service apt-daily.timer
apt-daily-upgrade.timer e2scrub_reap.service""".split()

# The root is moved over the old one, and not pivoted: pivot_root(8) is not in every util-linux.
_BOOT = r"""set -e
read -r go
cd /
umask 022
mount --make-rprivate /
mkdir -p {home}/root {home}/upper {home}/work
mount -t overlay none -o lowerdir={lower},upperdir={home}/upper,workdir={home}/work \
  {home}/root
cd {home}/root
mount -t proc none proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
echo 1 >proc/sys/net/ipv4/ip_forward
mount -o remount,bind,ro proc/sys
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o noexec,mode=755 none run
mount -t tmpfs none tmp
mount -t tmpfs -o mode=755 none dev
for device in null zero full random urandom tty; do
  : >dev/$device
  mount --bind /dev/$device dev/$device
done
mkdir -p run/udev/data
for link in sys/class/net/*; do echo I:1 >run/udev/data/n$(cat $link/ifindex); done
hostname {name}
mount --move . /
exec chroot . env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=null --show-status=no
"""


def built() -> tuple[str, ...]:
    """The releases whose roots are there."""
    return tuple(name for name in RELEASES if (CACHE / name / "built").exists())


@contextmanager
def place() -> Iterator[Path]:
    """A directory for machines' files, while the block runs, beside the roots of their releases."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        yield Path(name)


@dataclass
class Booted:
    """A machine of a release that has taken the place of a machine of the twin."""

    lab: Lab
    name: str
    release: str
    manager: str
    home: Path
    pid: int = 0  # of its systemd

    def run(self, command: str) -> str:
        """Run a command line as root; it has to succeed. What it prints."""
        done = self._run("sh", "-c", command)
        assert done.returncode == 0, f"{self.name} ({self.release}): {command}: {done.stderr}"
        return done.stdout

    def ours(self) -> list[str]:
        """The routes of this tool that it has."""
        shown = self.run("ip -o route show proto 214 table main").splitlines()
        return sorted(line.replace(" linkdown", "").strip() for line in shown)

    @contextmanager
    def up(self) -> Iterator[None]:
        """Boot it; it is up while the block runs."""
        log = (self.home / "log").open("a")
        with log, namespaces("sh", f"{self.home}/boot", output=log) as (stdin, self.pid):
            self._wire()
            stdin.write("go\n")
            stdin.close()
            down = f"{self.name} ({self.release}, {self.manager}) stays down"
            wait_for(self._is_up, down, PATIENCE)
            yield

    def _run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--all", *argv],
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )

    def _is_up(self) -> bool:
        """Whether its boot is over, and its network manager has set all links up, too."""
        state = self._run("systemctl", "is-system-running").stdout.strip()
        shown = self._run("ip", "-o", "addr", "show").stdout.split()
        nics = self.lab.twin.spec.host(self.name).nics
        every = all(address in shown for nic in nics for address in nic.addresses)
        return state in ("running", "degraded") and every

    def _lacks(self, port: str) -> bool:
        """Whether the twin's network has no such link."""
        shown = ["ip", "-o", "link", "show", "dev", port]
        done = subprocess.run([*self.lab.inside, *shown], capture_output=True, check=False)
        return done.returncode != 0

    def _wire(self) -> None:
        """Give it its links, whose other ends are ports of the twin's bridges.

        The kernel deletes those of the boot before a moment after their namespace has ended.
        """
        spec = self.lab.twin.spec
        index = spec.hosts.index(spec.host(self.name))
        for number, nic in enumerate(spec.host(self.name).nics):
            port = f"p{index}-{number}"
            wait_for(partial(self._lacks, port), f"{port} is left")
            ours = f"address 02:00:00:00:{index:02x}:{number:02x} netns {self.pid}"
            for words in (
                f"link add {port} type veth peer name {nic.name} {ours}",
                f"link set {port} master {nic.bridge} up",
            ):
                _do([*self.lab.inside, "ip", *words.split()])


def boot(lab: Lab, name: str, release: str, manager: str, home: Path) -> Booted:
    """Have a machine of a release take the place of a machine of the twin. It is not up yet.

    `home`: a new directory for its files, in a `place()`.
    """
    machine = Booted(lab, name, release, manager, home)
    host = lab.twin.spec.host(name)
    old = lab.twin.home / "machines" / str(lab.twin.spec.hosts.index(host)) / "upper"
    for nic in host.nics:
        _do([*lab.twin.inside(name), "ip", "link", "del", nic.name])
    upper = home / "upper"
    for kept in ("etc/ssh", "etc/cni", "var/lib/kubelet"):
        if (old / kept).is_dir():
            shutil.copytree(old / kept, upper / kept)
    key = (lab.twin.home / "key.pub").read_text()
    for user, user_id in (("root", 0), (USER, 1000)):
        at_home = upper / ("root" if user == "root" else f"home/{user}")
        _write(at_home / ".ssh/authorized_keys", key)
        for owned in (at_home, at_home / ".ssh", at_home / ".ssh/authorized_keys"):
            os.chown(owned, user_id, user_id)
    # Machines know their own name, or each sudo asks for it in a DNS that is not there.
    names = {"etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n", "etc/resolv.conf": ""}
    for file, text in {**names, **FILES[manager](host)}.items():
        _write(upper / file, text)
    units = upper / "etc/systemd/system"
    if release == OWN:  # its services are not the machine's
        units.mkdir(parents=True, exist_ok=True)
        os.setxattr(units, "trusted.overlay.opaque", b"y")
    unused = set(UNITS.values()) - {UNITS[manager]}
    for unit in {*MASKED, *unused}:
        _link(units / unit, "/dev/null")
    for unit in (UNITS[manager], "ssh.service"):
        _link(units / "multi-user.target.wants" / unit, f"/lib/systemd/system/{unit}")
    _link(units / "default.target", "/lib/systemd/system/multi-user.target")
    (home / "boot").write_text(
        _BOOT.format(
            home=home,
            lower=_lower(release),
            name=machine.name,
        )
    )
    return machine


def _lower(release: str) -> str:
    """The layers below that of a machine, for overlayfs."""
    return "/" if release == OWN else f"{CACHE}/{release}/worker:{CACHE}/{release}/base"


def _do(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    secret = path.name == "authorized_keys" or path.suffix in (".nmconnection", ".yaml")
    path.chmod(0o600 if secret else 0o644)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
