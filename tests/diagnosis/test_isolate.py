"""Trials: the script of each end, and what is read of it."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tasks.connectivity.mesh import heard
from tasks.connectivity.probe import Probe, probes
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.isolate import _script, _Setting
from tasks.diagnosis.trials import SIZES, End, read_trials
from tasks.facts.model import Facts
from tests.builders import cluster, facts, node
from tests.scripts import answer

POD = Pair("worker-0", "worker-1", 4, True, "silent")
OWN = replace(POD, from_pod=False)
TRIED = [POD, OWN]
ENDS = ("worker-0", "worker-1")

# One network for both ends: the other's probe is an address of this machine, its firewall too.
BEFORE = """ip link set lo up
ip link add enp6s0 up type veth peer name far
ip link set far up
ip addr add 10.240.0.6/24 dev enp6s0
ip addr add {target}/32 dev lo
echo 1 >/proc/sys/net/ipv4/ip_forward"""


def script(name: str, setting: _Setting, tcp: int = 0) -> str:
    return _script(name, TRIED, [POD, OWN], replace(setting, tcp=tcp))


@pytest.fixture
def asked() -> dict[str, Facts]:
    return {name: facts(number) for number, name in enumerate(ENDS)}


@pytest.fixture
def setting(asked: dict[str, Facts]) -> _Setting:
    machines = {machine.name: machine for machine in cluster(2).machines}
    own = {name: probes(machine, asked[name]) for name, machine in machines.items()}
    return _Setting(machines, asked, own, 0)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_both_ends_say_what_they_saw(
    shell: str, setting: _Setting, asked: dict[str, Facts], tmp_path: Path
) -> None:
    (target,) = setting.probes["worker-1"]
    before = BEFORE.format(target=target.address)
    said = {
        "worker-0": answer(script("worker-0", setting), tmp_path, before=before, shell=shell),
        "worker-1": answer(script("worker-1", setting), tmp_path, before=before, shell=shell),
    }
    assert all("== end" in text for text in said.values())
    tried = read_trials(TRIED, [POD, OWN], heard(said), asked)
    assert [(t.pair, t.answered, t.refused_by) for t in tried.trials] == [
        (POD, True, ""),
        (OWN, True, ""),
    ]
    assert tried.largest == {POD: SIZES[0], OWN: SIZES[0]}
    assert tried.trials[0].target == End(0, {}, "", filtered=False)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_a_firewall_that_refuses_is_seen_at_its_end(
    shell: str, setting: _Setting, asked: dict[str, Facts], tmp_path: Path
) -> None:
    (target,) = setting.probes["worker-1"]
    to = f"-d {target.address}"
    before = BEFORE.format(target="127.0.0.2") + (
        f"\nip route add {target.address} dev enp6s0\necho 0 >/proc/sys/net/ipv4/icmp_ratelimit\n"
        f"iptables -A FORWARD {to} -j REJECT --reject-with icmp-admin-prohibited\n"
        f"iptables -A OUTPUT {to} -j DROP"
    )
    said = answer(script("worker-0", setting), tmp_path, before=before, shell=shell)
    tried = read_trials(TRIED, [POD, OWN], heard(dict.fromkeys(ENDS, said)), asked)
    from_pod, from_machine = tried.trials
    assert not from_pod.answered
    assert list(from_pod.source.dropped) == [
        f"iptables, -A FORWARD -d {target.address}/32 -j REJECT"
    ]
    assert list(from_machine.source.dropped) == [
        f"iptables, -A OUTPUT -d {target.address}/32 -j DROP"
    ]
    assert from_pod.refused_by == "worker-0"
    assert tried.largest == {POD: 0, OWN: 0}


def test_a_trial_by_tcp_is_answered_by_what_turns_it_down(
    setting: _Setting, asked: dict[str, Facts], tmp_path: Path
) -> None:
    (target,) = setting.probes["worker-1"]
    before = BEFORE.format(target=target.address)
    said = answer(script("worker-0", setting, tcp=179), tmp_path, before=before)
    tried = read_trials(TRIED, [], heard(dict.fromkeys(ENDS, said)), asked, 179)
    assert [trial.answered for trial in tried.trials] == [True, True]
    assert tried.trials[0].source.requests > 0


def test_the_other_machine_is_looked_for_on_the_link(
    setting: _Setting, asked: dict[str, Facts], tmp_path: Path
) -> None:
    (target,) = setting.probes["worker-1"]
    before = BEFORE.format(target=target.address) + (
        f"\nip neigh add {node(1)} lladdr 02:00:00:00:00:02 dev enp6s0 nud permanent"
    )
    said = answer(script("worker-0", setting), tmp_path, before=before)
    tried = read_trials(TRIED, [], heard(dict.fromkeys(ENDS, said)), asked)
    assert tried.trials[0].source.neighbour == "PERMANENT"


def test_what_another_machine_calls_its_address_is_no_shell(
    setting: _Setting, tmp_path: Path
) -> None:
    touch = "touch owned"
    text = f"fd00::%$({touch})`{touch}`'\"\n{touch}\n;{touch}"
    machines = {
        name: replace(machine, internal_ips=(ip_address(text),))
        for name, machine in setting.machines.items()
    }
    own = {name: (Probe(ip_address(text), ip_network("fd00::/64"), None),) for name in machines}
    six = [replace(pair, family=6) for pair in TRIED]
    lying = _Setting(machines, setting.facts, own, 0)
    answer(_script("worker-0", six, six, replace(lying, probes={**own, "worker-0": ()})), tmp_path)
    answer(_script("worker-0", six, six, lying), tmp_path)
    assert not (tmp_path / "owned").exists()


REFUSED = "From 10.240.0.7 icmp_seq=1 Packet filtered"


@pytest.mark.parametrize(
    ("line", "answered", "refused_by"),
    [
        ("2 packets transmitted, 2 received, 0% packet loss", True, ""),
        ("2 packets transmitted, 0 received, 100% packet loss", False, ""),
        ("1" * 5000 + " received", False, ""),
        (REFUSED, False, "worker-1"),
        (REFUSED.replace("10.240.0.7", "10.240.0.7:"), False, "worker-1"),
        (REFUSED.replace("10.240.0.7", "010.240.0.7"), False, ""),
        (REFUSED.replace("10.240.0.7", "fe80::7%eth0"), False, ""),
        (REFUSED.replace("10.240.0.7", "10.240.0.9"), False, ""),
    ],
)
def test_what_ping_says_is_read(
    line: str, *, answered: bool, refused_by: str, asked: dict[str, Facts]
) -> None:
    said = {"worker-0": {("ping", "0"): [line]}, "worker-1": {}}
    (trial,) = read_trials([POD], [], said, asked).trials
    assert (trial.answered, trial.refused_by) == (answered, refused_by)


@pytest.mark.parametrize(
    ("before", "after", "requests"),
    [("1", "3", 2), ("1", "9" * 5000, -1), ("x", "3", 3), ("1", "\u0663", -1), ("1", "", -1)],
)
def test_a_counter_that_cannot_be_read_is_none(
    before: str, after: str, requests: int, asked: dict[str, Facts]
) -> None:
    def counted(number: str) -> list[str]:
        return ["Icmp: InMsgs InEchos", f"Icmp: 7 {number}"]

    end = {("before", "0"): counted(before), ("after", "0"): counted(after)}
    (trial,) = read_trials([POD], [], {"worker-0": {}, "worker-1": end}, asked).trials
    assert trial.target.requests == requests
    six = replace(POD, family=6)
    end = {("after", "0"): [f"Icmp6InEchos \t{after}"]}
    (trial,) = read_trials([six], [], {"worker-0": {}, "worker-1": end}, asked).trials
    assert trial.target.requests == (3 if after == "3" else 0)


def test_an_answer_that_cannot_be_read_is_no_trial(asked: dict[str, Facts]) -> None:
    said = heard({"worker-0": "== end\n", "worker-1": "== ping 0\n" + "x" * (1 << 17)})
    assert read_trials([POD], [], said, asked).trials == ()
