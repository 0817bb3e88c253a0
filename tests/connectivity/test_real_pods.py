"""Real pods: which are asked, the script of each worker, and what is read of it."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from tasks.connectivity.probe import probes
from tasks.connectivity.real_pods import MAX_PODS, RealPod, _script, read_real_pods, real_pods
from tasks.facts.survey import Survey
from tasks.ssh.answer import sections
from tests.builders import cluster, facts
from tests.paths import PROJECT
from tests.scripts import answer

NAMES = ("worker-0", "worker-1")
FAMILIES = (4, 6)
OF = cluster(2, families=FAMILIES)
OWN = {m.name: probes(m, facts(n, families=FAMILIES)) for n, m in enumerate(OF.machines)}


def survey(*stored: str) -> Survey:
    """Two workers; what the second one's store lists."""
    reserved = frozenset(map(ip_address, stored))
    found = {"worker-0": facts(0), "worker-1": facts(1, reserved=reserved)}
    return Survey(OF, found, {})


def test_only_pods_are_asked_that_are_their_workers() -> None:
    of = survey("10.200.1.2", "10.200.9.2", "fd00:200:1::2")
    assert real_pods(of) == {
        "worker-0": [],
        "worker-1": [ip_address("10.200.1.2"), ip_address("fd00:200:1::2")],
    }
    many = survey(*(f"10.200.1.{n}" for n in range(2, 9)))
    assert len(real_pods(many)["worker-1"]) == MAX_PODS


# Pods of both workers are addresses of the machine, and so are those of the other's probe.
BEFORE = """ip link set lo up
ip addr add 10.240.0.6/32 dev lo
ip addr add fd00:240::6/128 dev lo nodad
for ip in 10.200.1.2 10.200.0.2 10.200.1.254; do ip addr add $ip/32 dev lo; done
for ip in fd00:200:1::2 fd00:200::2 fd00:200:1::ffff:ffff:ffff:feff; do
  ip addr add $ip/128 dev lo nodad
done"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_a_worker_asks_the_others_pods_and_its_own(shell: str, tmp_path: Path) -> None:
    of = survey("10.200.1.2", "10.200.1.3", "fd00:200:1::2")
    pods = {**real_pods(of), "worker-0": [ip_address("10.200.0.2"), ip_address("fd00:200::9")]}
    script = _script(of, OWN, pods, "worker-0", ["worker-1"])
    found = sections(answer(script, tmp_path, before=BEFORE, shell=shell))
    assert {key for key in found if key[0] in ("here", "reached")} == {
        ("here", "10.200.0.2"),
        ("reached", "10.200.1.2"),
        ("reached", "fd00:200:1::2"),
    }
    assert ("set", "") in found
    assert ("sent", "") in found
    counted = [line.split("-s ")[1].split()[0] for line in found["arrived", ""] if "-s " in line]
    assert counted == [
        "10.200.1.0/24",
        "10.240.0.7/32",
        "fd00:200:1::/64",
        "fd00:240::7/128",
    ]


def test_a_pod_pings_from_the_network_that_it_is_in(tmp_path: Path) -> None:
    pod = ip_address("10.200.0.2")
    leaving = f"""outer='' probes=''
. "{PROJECT / "tasks/connectivity/real_pods.sh"}"
main() {{ leave 4 {pod} 192.0.2.1; }}"""
    inside = "ip link set lo up; ip addr add 10.200.0.2/32 dev lo; ip addr add 192.0.2.1/32 dev lo"
    counted = "iptables -A INPUT -d 192.0.2.1 -p icmp --icmp-type echo-request"
    space = f"{inside}; {counted}; echo >there; read -r _ <end; iptables-save -c >after"
    before = f"""mkfifo there end
unshare --net sh -c '{space}' &
read -r _ <there"""
    answer(leaving, tmp_path, before=before, after="echo >end; wait")
    assert "[3:252] -A INPUT -d 192.0.2.1/32" in (tmp_path / "after").read_text()


SAID: dict[str, dict[tuple[str, str], list[str]]] = {
    "worker-0": {
        ("reached", "10.200.1.2"): [],
        ("arrived", ""): ["[3:252] -A INPUT -s 10.200.1.0/24 -p icmp"],
    },
    "worker-1": {("here", "10.200.1.2"): []},
}
PODS = {"worker-1": [ip_address("10.200.1.2")]}
WAYS = {"worker-0": ["worker-1"], "worker-1": ["worker-0"]}


@pytest.mark.parametrize(
    ("line", "arrives"),
    [
        ("[3:252] -A INPUT -s 10.200.1.0/24 -p icmp", "itself"),
        ("[3:252] -A INPUT -s 10.240.0.7/32 -p icmp", "masqueraded"),
        ("[0:0] -A INPUT -s 10.200.1.0/24 -p icmp", ""),
        ("[3:252] -A INPUT -s fd00:200:1::/64 -p icmp", ""),
        ("[3:252] -A INPUT -s 10.200.1.0/24%x -p icmp", ""),
        (f"[{'9' * 5000}:0] -A INPUT -s 10.200.1.0/24 -p icmp", ""),
        ("[3:252] -A INPUT -p icmp", ""),
    ],
)
def test_as_what_a_pod_arrives_is_read_from_what_was_counted(line: str, arrives: str) -> None:
    machines = {machine.name: machine for machine in OF.machines}
    said = {**SAID, "worker-0": {**SAID["worker-0"], ("arrived", ""): [line]}}
    assert read_real_pods(machines, PODS, WAYS, said) == [
        RealPod(
            "worker-1", PODS["worker-1"][0], True, ("worker-0",), ("worker-0",), arrives=arrives
        )
    ]
