"""`fab discover` over ssh: machines say of themselves what hosts.toml has to say of them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.inventory.read import read
from tests import api

from .conftest import KEY, Lab, MakeLab, hosts_toml, tutorial
from .kit import ok, on
from .test_machines import logins

KUBELET = "/var/lib/kubelet/kubelet-config.yaml"
LAYOUTS = {
    "worker-0": "true",  # the tutorial's
    "worker-1": f"mv {KUBELET} /var/lib/kubelet/config.yaml",  # kubeadm's
    "worker-2": f"rm {KUBELET}",  # the newer tutorial's, where only the CNI config says it
}


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """Machines of the three layouts, and a hosts.toml that says where they are and no more."""
    lab = make_lab(tutorial())
    for name, command in LAYOUTS.items():
        on(lab, name, command)
    say(lab)
    return lab


def say(lab: Lab, node_networks: bool = True) -> None:
    """A hosts.toml that leaves out what can be found."""
    machines = tuple(replace(m, internal_ips=(), pod_cidrs=()) for m in lab.cluster.machines)
    bare = replace(lab.cluster, machines=machines)
    text = hosts_toml(bare if node_networks else replace(bare, node_networks=()))
    lab.cluster.path.write_text(text.replace("[ssh]", "# How to log in.\n[ssh]"))


def rows(output: str) -> list[list[str]]:
    table = output.partition("\n\n")[0]
    return [line.split() for line in table.splitlines()[2:]]


def test_every_layout_is_understood_written_and_then_the_same(lab: Lab) -> None:
    before = lab.tables()
    text = lab.cluster.path.read_text()
    shown = ok(lab.fab("discover"))
    assert rows(shown) == [
        ["worker-0", "internal_ip", "10.240.0.6", "enp6s0", "new"],
        ["worker-0", "pod_cidr", "10.200.0.0/24", "kubelet-config.yaml", "new"],
        ["worker-1", "internal_ip", "10.240.0.7", "enp6s0", "new"],
        ["worker-1", "pod_cidr", "10.200.1.0/24", "config.yaml", "new"],
        ["worker-2", "internal_ip", "10.240.0.8", "enp6s0", "new"],
        ["worker-2", "pod_cidr", "10.200.2.0/24", "10-bridge.conf", "new"],
    ]
    assert max(map(len, shown.splitlines())) <= 80
    assert lab.cluster.path.read_text() == text
    counted = {m.name: logins(lab, m.name) for m in lab.cluster.machines}
    ok(lab.fab("discover", "plan"))
    assert {name: logins(lab, name) - n for name, n in counted.items()} == dict.fromkeys(counted, 1)
    assert "6 to add" in ok(lab.fab("discover", "--write", "plan"))
    assert read(lab.cluster.path).machines == lab.cluster.machines
    assert "# How to log in.\n[ssh]" in lab.cluster.path.read_text()
    again = lab.fab("discover", "--write")
    assert {row[-1] for row in rows(ok(again))} == {"same"}
    assert "nothing to write" in again.stderr
    assert lab.tables() == before


def test_without_node_networks_it_is_the_private_address_that_is_not_the_bridges(lab: Lab) -> None:
    say(lab, node_networks=False)
    ok(lab.fab("discover", "--write"))
    assert read(lab.cluster.path).machines == lab.cluster.machines


def test_vagrants_nat_is_recognised_and_the_shared_subnet_proposed(lab: Lab) -> None:
    say(lab, node_networks=False)
    for number, machine in enumerate(lab.cluster.machines):
        on(lab, machine.name, "ip addr add 10.0.2.15/24 dev eth0")
        on(lab, machine.name, f"ip addr add 172.20.{number}.2/24 dev eth0")  # on no common subnet
    shown = ok(lab.fab("discover"))
    assert [row[2] for row in rows(shown) if row[1] == "internal_ip"] == [
        "10.240.0.6",
        "10.240.0.7",
        "10.240.0.8",
    ]
    flat = " ".join(shown.split())
    assert "10.0.2.15 is on worker-0, worker-1, worker-2 alike, as Vagrant's NAT" in flat
    assert "--node-ip" in flat


def test_two_networks_that_all_share_are_a_persons_choice(lab: Lab) -> None:
    say(lab, node_networks=False)
    for number, machine in enumerate(lab.cluster.machines):
        on(lab, machine.name, f"ip addr add 172.20.0.{2 + number}/24 dev eth0")
    text = lab.cluster.path.read_text()
    done = lab.fab("discover", "--write")
    ok(done, status=1)
    assert 'internal_ip = "172.20.0.2" or "10.240.0.6"' in done.stderr
    assert 'node_networks = ["172.20.0.0/24" or "10.240.0.0/24"]' in done.stderr
    assert lab.cluster.path.read_text() == text


def test_a_bridge_that_kept_an_old_pod_cidr_is_a_contradiction(lab: Lab) -> None:
    on(lab, "worker-1", "ip addr add 10.200.77.1/24 dev cnio0")
    done = lab.fab("discover", "--write")
    ok(done, status=1)
    assert ["worker-1", "pod_cidr", "10.200.1.0/24", "config.yaml", "choose"] in rows(done.stdout)
    assert ["or", "10.200.77.0/24", "cnio0"] in rows(done.stdout)


def test_a_machine_that_cannot_be_asked(lab: Lab) -> None:
    on(lab, "worker-1", "kill $(cat /run/sshd.pid)")
    done = lab.fab("discover")
    ok(done, status=1)
    assert "worker-1: 203.0.113.11 port 22: connection refused" in done.stderr
    done = lab.fab("discover", "--skip-unreachable", "--write")
    assert "worker-1" not in ok(done, status=4)
    by_name = {m.name: m.pod_cidrs for m in read(lab.cluster.path).machines}
    assert not by_name["worker-1"]
    assert by_name["worker-2"]


def test_addresses_from_one_source_and_pod_cidrs_from_the_other(lab: Lab, tmp_path: Path) -> None:
    """From nothing: Vultr knows the addresses, the machines their pod CIDRs."""
    instances = [
        api.instance(m.name, m.public_ip, str(m.internal_ips[0])) for m in lab.cluster.machines
    ]
    api.stand_in(tmp_path, "vultr-cli", api.vultr_pages(instances))
    lab.cluster.path.unlink()
    command = ("-i", KEY, "discover", "--from", "vultr,ssh", "--match", "worker-*", "--write")
    path = f"{tmp_path}:{os.environ['PATH']}"
    shown = ok(lab.fab(*command, PATH=path))
    assert ["worker-2", "internal_ip", "10.240.0.8", "vultr", "new"] in rows(shown)
    assert ["worker-2", "pod_cidr", "10.200.2.0/24", "10-bridge.conf", "new"] in rows(shown)
    assert "fa1rly-secret" not in shown + lab.cluster.path.read_text()
    assert read(lab.cluster.path).machines == lab.cluster.machines
    assert "nothing to write" in lab.fab(*command, PATH=path).stderr
    ok(lab.fab("-i", KEY, "plan"))


def test_a_worker_with_a_new_address_is_asked_there(lab: Lab, tmp_path: Path) -> None:
    text = lab.cluster.path.read_text()
    lab.cluster.path.write_text(text.replace("203.0.113.11", "203.0.113.250"))
    instances = [api.instance(m.name, m.public_ip, "") for m in lab.cluster.machines]
    api.stand_in(tmp_path, "vultr-cli", api.vultr_pages(instances))
    done = lab.fab("discover", "--from", "ssh,vultr", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert ["worker-1", "pod_cidr", "10.200.1.0/24", "config.yaml", "new"] in rows(ok(done))
    assert ["instead", "of", "203.0.113.250"] in rows(done.stdout)


def test_what_the_network_does_to_routes_is_shown_by_discover_and_plan(lab: Lab) -> None:
    on(
        lab,
        "worker-0",
        "mount -t tmpfs none /sys/class && mkdir -p /sys/class/dmi/id && cd /sys/class/dmi/id"
        " && echo Hetzner >sys_vendor && echo vServer >product_name && : >chassis_asset_tag",
    )
    on(
        lab,
        "worker-1",
        "ip addr add 10.9.0.2/32 dev enp6s0 && ip route add 10.9.0.1 dev enp6s0"
        " && ip route add 10.9.0.0/16 via 10.9.0.1 dev enp6s0",
    )
    for verb in ("discover", "plan"):
        said = lab.fab(verb).stdout
        assert "Hetzner Cloud: the MTU here is 1450" in said
        assert "in [network] of hosts.toml, and its table gets the routes too" in " ".join(
            said.split()
        )
        assert "worker-1: 10.9.0.2/32 on enp6s0 is alone on its link, behind 10.9.0.1" in said
        assert max(map(len, said.splitlines())) <= 80
    assert '"Hetzner Cloud: the MTU here is 1450"' in lab.fab("plan", "--format", "json").stdout


def test_a_rehearsal_asks_the_twin_and_writes_nothing(lab: Lab) -> None:
    text = lab.cluster.path.read_text()
    done = lab.fab("rehearse", "discover")
    assert {row[-1] for row in rows(ok(done))} == {"new"}
    other = lab.cluster.path.rename(lab.dir / "other.toml")
    assert ok(lab.fab("rehearse", "--inventory", "other.toml", "discover")) == done.stdout.replace(
        "hosts.toml", "other.toml"
    )
    other.rename(lab.cluster.path)
    for arguments in (("--write",), ("--from", "vultr")):
        refused = lab.fab("rehearse", "discover", *arguments)
        assert "asks its own machines only" in (refused.stderr + ok(refused, status=1))
    assert lab.cluster.path.read_text() == text
