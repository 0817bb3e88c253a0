"""A network that routes: it knows what its table says, and is silent about everything else."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tasks.inventory.model import ProviderNetwork

from .conftest import Lab, MakeDirectory, MakeLab, labs, tutorial
from .kit import on

ECHOES = "awk '/^Icmp: [0-9]/ { print $10 }' /proc/net/snmp"  # requests received: proc_net(5)


@pytest.fixture(scope="module")
def routed(tmp_path_factory: MakeDirectory) -> Iterator[Lab]:
    """Two workers behind Hetzner's router, with their own routes to each other's pods.

    Pods keep their addresses: no masquerading hides them.
    """
    with labs(tmp_path_factory) as make:
        lab = make(replace(tutorial(2), network=ProviderNetwork("hetzner", "kubernetes")))
        for worker, other in ((0, 1), (1, 0)):
            route = f"ip route add 10.200.{other}.0/24 via 10.240.0.1"
            on(lab, f"worker-{worker}", f"iptables -t nat -F; {route}")
        yield lab


def hcloud(lab: Lab, words: str) -> str:
    return run(lab, f"hcloud {words}")


def run(lab: Lab, words: str) -> str:
    """What a stand-in prints, as the operator runs it."""
    return subprocess.run(
        [*lab.inside, *words.split()],
        env=lab.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def change(lab: Lab, verb: str, worker: int) -> None:
    pods, gateway = f"10.200.{worker}.0/24", f"10.240.0.{6 + worker}"
    hcloud(lab, f"network {verb} kubernetes --destination {pods} --gateway {gateway}")


def answers(lab: Lab, worker: int, other: int) -> bool:
    """Whether the other worker's pod answers this worker's."""
    ping = ["ping", "-n", "-c1", "-W1", lab.twin.pod_addresses(f"worker-{other}")[0]]
    return lab.twin.run_in_pod(f"worker-{worker}", ping).returncode == 0


def test_a_machine_is_alone_on_its_link_with_the_routes_that_dhcp_gives(routed: Lab) -> None:
    assert [line for line in routed.tables()["worker-0"] if "enp6s0" in line and "." in line] == [
        "unicast 10.200.1.0/24 via 10.240.0.1 dev enp6s0 table main proto boot scope global",
        "unicast 10.240.0.0/24 via 10.240.0.1 dev enp6s0 table main proto boot scope global",
        "unicast 10.240.0.1 dev enp6s0 table main proto boot scope link",
    ]
    assert "inet 10.240.0.6/32" in on(routed, "worker-0", "ip -4 addr show dev enp6s0")
    assert "ttl=63" in on(routed, "worker-0", "ping -n -c1 -W1 10.240.0.7")


def test_pods_answer_only_while_the_table_has_both_routes(routed: Lab) -> None:
    assert not answers(routed, 0, 1)
    change(routed, "add-route", 1)
    assert not answers(routed, 0, 1)
    change(routed, "add-route", 0)
    assert answers(routed, 0, 1)
    assert answers(routed, 1, 0)
    change(routed, "remove-route", 1)
    assert not answers(routed, 1, 0)
    change(routed, "remove-route", 0)


def test_a_source_that_the_table_does_not_know_reaches_nobody(routed: Lab) -> None:
    change(routed, "add-route", 1)
    before = on(routed, "worker-1", ECHOES)
    on(routed, "worker-0", "ip addr add 192.0.2.1/32 dev lo")
    for source in ("192.0.2.1", "10.200.0.1"):
        ping = ["ping", "-n", "-c1", "-W1", "-I", source, "10.240.0.7"]
        said = routed.twin.run("worker-0", ping)
        assert said.returncode == 1
        assert "From" not in said.stdout.partition("\n")[2]  # no ICMP error either
    assert on(routed, "worker-1", ECHOES) == before
    on(routed, "worker-0", "ping -n -c1 -W1 10.240.0.7")
    assert on(routed, "worker-1", ECHOES) != before
    change(routed, "remove-route", 1)


def test_a_change_goes_on_if_the_program_is_killed(routed: Lab) -> None:
    """As in the API: what was asked for is done, though nobody waits for it any more."""
    directory = os.open(routed.twin.home, os.O_RDONLY)
    waits = f":{os.fstat(directory).st_ino} "
    fcntl.flock(directory, fcntl.LOCK_EX)
    words = "hcloud network add-route kubernetes --destination 10.200.0.0/24 --gateway 10.240.0.6"
    with subprocess.Popen(
        [*routed.inside, *words.split()], env=routed.environment, start_new_session=True
    ) as asked:
        while not any(" -> " in line and waits in line for line in locks()):
            assert asked.poll() is None
            time.sleep(0.02)
        os.killpg(asked.pid, signal.SIGKILL)
    os.close(directory)
    assert "10.200.0.0/24" in hcloud(routed, "network describe kubernetes -o json")
    change(routed, "remove-route", 0)


def locks() -> list[str]:
    """The locks of files on this machine; a process that waits for one has an arrow: proc(5)."""
    return Path("/proc/locks").read_text().splitlines()


# AWS's, where the machines of a subnet are on one link


def test_a_vpc_leads_by_its_route_table_and_ports_check_addresses(make_lab: MakeLab) -> None:
    """Two workers in one subnet, and one in another; no machine has a route to pods."""
    *near, far = tutorial().machines
    subnets = (ip_network("10.240.0.0/24"), ip_network("10.240.1.0/24"))
    lab = make_lab(
        replace(
            tutorial(),
            network=ProviderNetwork("aws", "rtb-1"),
            node_networks=subnets,
            machines=(*near, replace(far, internal_ips=(ip_address("10.240.1.8"),))),
        )
    )
    for worker in range(3):
        on(lab, f"worker-{worker}", "iptables -t nat -F")
    for other in ("10.240.0.7", "10.240.1.8"):
        on(lab, "worker-0", f"ping -n -c1 -W1 {other}")

    def to_interface(command: str, worker: int) -> None:
        run(lab, f"aws ec2 {command} --network-interface-id eni-{worker:017x}")

    for worker in range(3):
        where = f"--route-table-id rtb-1 --destination-cidr-block 10.200.{worker}.0/24"
        to_interface(f"create-route {where}", worker)
    assert not answers(lab, 0, 1)
    for worker in (0, 2):
        to_interface("modify-network-interface-attribute --no-source-dest-check", worker)
    assert answers(lab, 0, 2)
    assert answers(lab, 2, 0)
    assert not answers(lab, 0, 1)
    run(lab, "aws ec2 delete-route --route-table-id rtb-1 --destination-cidr-block 10.200.2.0/24")
    assert not answers(lab, 0, 2)
