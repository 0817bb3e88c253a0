"""What every verb says to machines and hears from them, recorded once on a twin."""

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests import forked
from tests.lab.conftest import KEY, Lab, MakeLab, hosts_toml
from tests.lab.kit import dual_stack, on
from tests.paths import PROJECT

from .replay import Step
from .wiretap import Conversation, load

A = "worker-1"  # the machine that is going to lie
FOREIGN = (
    "ip route add 10.200.2.0/24 via 10.240.0.6; ip -6 route add fd00:200:0:2::/64 via fd00:240::6"
)
# Links that others manage too, so that what is read of them is there to be read.
MANAGED = r"""mkdir -p /run/NetworkManager/devices /run/systemd/netif/links
number=$(cat /sys/class/net/enp6s0/ifindex)
printf 'managed=true\n' >/run/NetworkManager/devices/$number
printf 'ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/20-private.network\n' \
  >/run/systemd/netif/links/$number"""
BLOCKED = """iptables -I FORWARD -d 10.200.2.0/24 -j DROP
ip6tables -I FORWARD -d fd00:200:0:2::/64 -j DROP"""
OPEN = BLOCKED.replace("-I", "-D")
SMALL = "ip link set enp6s0 mtu 1400"
LARGE = "ip link set enp6s0 mtu 1500"
LOST = "ip route del 10.200.0.0/24 proto 214"
FOUR = "sed -i /fd00/d /etc/cni/net.d/10-bridge.conf; ip -6 addr flush dev cnio0 scope global"


class _Recorder:
    """The command lines of an operator, recorded one after the other."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._file = lab.dir / "recorded.json"
        self._tap = ("tests.hostile.wiretap", str(self._file), "--search-root", str(PROJECT))
        self._env = {**lab.environment, "PYTHONPATH": str(PROJECT)}
        self.steps: list[Step] = []

    def write(self, inventory: str) -> None:
        self._lab.cluster.path.write_text(inventory)

    def do(self, name: str, *arguments: str, expect: str = "") -> None:
        """Record a command line; `expect` stands in what it prints."""
        before = self._lab.cluster.path.read_text()
        lab = self._lab
        done = forked.module(
            *self._tap, *arguments, cwd=lab.dir, env=self._env, network=lab.network
        )
        assert expect in done.stdout + done.stderr, (name, done)
        assert "Traceback" not in done.stderr, done.stderr
        self._note(name, arguments, before, expect)

    def watch(self, name: str) -> None:
        """Record a watch that puts a route back."""
        before = self._lab.cluster.path.read_text()
        arguments = ("watch", "--every", "1")
        with subprocess.Popen(
            [*self._lab.inside, sys.executable, "-m", *self._tap, *arguments],
            cwd=self._lab.dir,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stdout is not None
            assert any("put back" in line for line in iter(run.stdout.readline, ""))
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=60)
        self._note(name, arguments, before, "put back")

    def _note(self, name: str, arguments: tuple[str, ...], inventory: str, shows: str) -> None:
        self.steps.append(Step(name, arguments, inventory, load(self._file), shows))


def record(make: MakeLab, key: Path) -> list[Step]:
    """The steps of operators whose hosts.toml leaves all to its machines, or nothing.

    `key`: a file for the key that they log in with.
    """
    cluster = dual_stack(3)
    lab = make(cluster)
    shutil.copy(lab.dir / KEY, key)
    told = hosts_toml(lab.cluster)
    claimed = re.sub(r"^(pod_cidr|internal_ip) = .*\n", "", told, flags=re.MULTILINE)
    tape = _Recorder(lab)
    on(lab, A, FOREIGN)
    on(lab, A, MANAGED)

    tape.write(claimed)
    tape.do("discover --write", "discover", "--write", expect="written: ")
    tape.write(claimed)
    tape.do("refused", "apply-routes", expect="refused")
    tape.do("apply --replace", "apply-routes", "--replace", "--yes", expect="done: ")
    tape.do("verify --pods", "verify", "--pods", expect="proven both ways: 12 of 12")
    tape.do("verify --tcp", "verify", "--tcp", "80", "--format", "json", expect="pairs")
    on(lab, "worker-2", BLOCKED)
    tape.do("verify what is blocked", "verify", "--report", "page.html", expect="FORWARD")
    on(lab, "worker-2", OPEN)
    on(lab, "worker-0", SMALL)
    tape.do("verify what is small", "verify", "--format", "junit", expect="failure")
    on(lab, "worker-0", LARGE)
    tape.do("history", "history", expect="kept")
    tape.do("rollback --last", "rollback", "--last", expect="done: ")
    persist = ("apply-routes", "--persist", "auto", "--no-ping", "--yes", "--replace")
    tape.do("apply --hold", *persist, "--hold", expect="fab confirm")
    tape.do("status", "status", expect="to be confirmed")
    tape.do("plan what waits", "plan", expect="waits for")
    tape.do("confirm", "confirm", expect="kept on")
    tape.do("confirm nothing", "confirm", expect="nothing to confirm")
    on(lab, A, LOST)
    tape.watch("watch")
    tape.do("plan --check", "plan", "--check", expect="4 machines: ")
    tape.do("snapshot", "snapshot", "cluster.json", expect="cluster.json")
    tape.do("drain", "drain", "worker-2", "--yes", "--force", "--no-ping", expect="done: ")
    tape.do("apply again", *persist, "--hold", expect="fab confirm")
    tape.do("drop", "rollback", "--last", expect="dropped")
    tape.do("rollback", "rollback", "--no-ping", expect="done: ")

    tape.write(told)
    tape.do("discover what is told", "discover", expect="worker-1")
    tape.do("apply what is told", "apply-routes", "--no-ping", "--replace", "--yes", expect="done")
    tape.do("verify what is told", "verify", "--pods", expect="12 of 12 pairs")
    tape.do("rollback --dry-run", "rollback", "--dry-run", expect="route del")
    tape.do("rollback what is told", "rollback", expect="done: ")

    _record_ipv4(lab, tape, re.sub(r", \"fd00:[^]]*", "", claimed))
    return tape.steps


def _record_ipv4(lab: Lab, tape: _Recorder, inventory: str) -> None:
    """Record an operator's steps on machines whose pods have no IPv6."""
    for machine in lab.cluster.workers:
        on(lab, machine.name, FOUR)
    tape.write(inventory)
    tape.do("plan IPv4", "plan", expect="4 machines: ")
    tape.do("apply IPv4", "apply-routes", "--replace", "--yes", "--no-ping", expect="done: ")
    tape.do("verify --pods IPv4", "verify", "--pods", expect="6 of 6 pairs")
    tape.do("verify --tcp IPv4", "verify", "--tcp", "80", expect="6 of 6 pairs")


def save(steps: list[Step], file: Path) -> None:
    """Write steps to a file."""
    file.write_text(json.dumps([asdict(step) for step in steps]))


def read(file: Path) -> list[Step]:
    """Steps from a file."""
    return [_step(**each) for each in json.loads(file.read_text())]


def _step(said: list[dict[str, Any]], **rest: Any) -> Step:
    return Step(**rest, said=[Conversation(**each) for each in said])
