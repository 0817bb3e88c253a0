"""What a twin is made of, planned from hosts.toml; the twin itself is tested in tests/lab."""

import json
import os
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from itertools import chain, combinations
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.errors import Stop
from tasks.common.values import Network, within
from tasks.inventory.model import Cluster, Machine, ProviderNetwork, Ssh
from tasks.twin import lifecycle, registry, root_files
from tasks.twin.design import Host, Spec, design
from tasks.twin.wiring import Router

POD_NETWORKS: dict[int, Network] = {
    4: ip_network("10.200.0.0/16"),
    6: ip_network("fd00:10:200::/48"),
}
NODE_NETWORKS: dict[int, Network] = {
    4: ip_network("10.240.0.0/24"),
    6: ip_network("fd00:10:240::/64"),
}


def worker(number: int, families: tuple[int, ...] = (4,)) -> Machine:
    return Machine(
        name=f"worker-{number}",
        role="worker",
        public_ip=f"203.0.113.{10 + number}",
        internal_ips=tuple(NODE_NETWORKS[f].network_address + 6 + number for f in families),
        pod_cidrs=tuple(
            ip_network(f"10.200.{number}.0/24" if f == 4 else f"fd00:10:200:{number}::/64")
            for f in families
        ),
    )


def cluster(*machines: Machine, families: tuple[int, ...] = (4,), nodes: bool = True) -> Cluster:
    return Cluster(
        path=Path("hosts.toml"),
        pod_networks=tuple(POD_NETWORKS[f] for f in families),
        node_networks=tuple(NODE_NETWORKS[f] for f in families) if nodes else (),
        machines=machines,
    )


def addresses(host: Host) -> dict[str, tuple[str, ...]]:
    return {nic.name: nic.addresses for nic in host.nics}


def test_the_tutorials_worker() -> None:
    spec = design(cluster(worker(0), worker(1)))
    host = spec.host("worker-1")
    assert addresses(host) == {"eth0": ("203.0.113.11/24",), "enp6s0": ("10.240.0.7/24",)}
    assert [(nic.bridge, nic.gateway) for nic in host.nics] == [
        ("public", "203.0.113.1"),
        ("private", None),
    ]
    assert spec.gateways == (("public", "203.0.113.1/24"),)
    assert (spec.user, spec.port, spec.invented) == ("root", 22, ())
    assert host.pod


def test_user_and_port_of_the_file() -> None:
    spec = design(replace(cluster(worker(0)), ssh=Ssh(user="admin", port=2222)))
    assert (spec.user, spec.port) == ("admin", 2222)


def test_spec_as_text_and_back() -> None:
    spec = design(cluster(worker(0, (4, 6)), Machine("c", "controller", "lb"), families=(4, 6)))
    assert "\n" not in spec.to_text()
    assert Spec.from_text(spec.to_text()) == spec


def routed(*machines: Machine, subnets: tuple[Network, ...] = (NODE_NETWORKS[4],)) -> Cluster:
    network = ProviderNetwork("hetzner", "kubernetes")
    return replace(cluster(*machines), node_networks=subnets, network=network)


def test_in_a_network_that_routes_each_machine_is_alone_with_the_router() -> None:
    spec = design(routed(worker(0), worker(1)))
    assert spec.router == Router("hetzner", "kubernetes", "10.240.0.0/24", ("10.240.0.0/24",))
    assert spec.router.address == "10.240.0.1"
    assert [(nic.name, nic.bridge, nic.addresses) for nic in spec.host("worker-1").nics] == [
        ("eth0", "public", ("203.0.113.11/24",)),
        ("enp6s0", "router", ("10.240.0.7/32",)),
    ]
    assert spec.invented == ("network kubernetes: its range, 10.240.0.0/24",)
    assert Spec.from_text(spec.to_text()) == spec


def test_the_range_of_a_network_holds_all_subnets_and_its_first_address_is_free() -> None:
    subnets: tuple[Network, ...] = (ip_network("10.240.1.0/24"), ip_network("10.240.3.0/24"))
    near = replace(worker(0), internal_ips=(ip_address("10.240.1.1"),))
    far = replace(worker(1), internal_ips=(ip_address("10.240.3.9"),))
    router = design(routed(near, far, subnets=subnets)).router
    assert router == Router("hetzner", "kubernetes", "10.240.0.0/22", tuple(map(str, subnets)))
    router = design(routed(near, subnets=subnets)).router
    assert router == Router("hetzner", "kubernetes", "10.240.0.0/23", ("10.240.1.0/24",))


def test_ssh_goes_by_another_link_than_the_router() -> None:
    """As over a bastion host: public_ip is the address in the network."""
    spec = design(routed(Machine("worker-0", "worker", "10.240.0.5"), worker(1)))
    assert addresses(spec.host("worker-0")) == {
        "eth0": ("198.18.0.2/24",),
        "enp6s0": ("10.240.0.5/32",),
    }
    assert spec.invented[0] == (
        "worker-0: pod CIDR 10.200.0.0/24; public address 198.18.0.2 for 10.240.0.5"
    )


def test_where_subnets_are_links_the_default_route_leads_to_the_router() -> None:
    of = replace(routed(worker(0), worker(1)), network=ProviderNetwork("aws", "rtb-1"))
    spec = design(of)
    assert spec.router == Router("aws", "rtb-1", "10.240.0.0/24", ("10.240.0.0/24",))
    assert [(nic.bridge, nic.addresses, nic.gateway) for nic in spec.host("worker-1").nics] == [
        ("public", ("203.0.113.11/24",), None),
        ("router", ("10.240.0.7/24",), "10.240.0.1"),
    ]
    taken = replace(worker(0), internal_ips=(ip_address("10.240.0.1"),))
    with pytest.raises(Stop, match=r"10\.240\.0\.1 cannot be an internal_ip: the first address"):
        design(replace(of, machines=(taken, worker(1))))


def test_machines_that_no_network_can_hold_are_refused() -> None:
    subnets: tuple[Network, ...] = (ip_network("10.240.0.0/24"), ip_network("192.168.3.0/24"))
    far = replace(worker(1), internal_ips=(ip_address("192.168.3.9"),))
    with pytest.raises(
        Stop, match=r"no network holds 10\.240\.0\.0/24, 192\.168\.3\.0/24: correct"
    ):
        design(routed(worker(0), far, subnets=subnets))


def test_only_ipv4_is_routed() -> None:
    both = replace(worker(0), internal_ips=(ip_address("10.240.0.6"), ip_address("fd00::6")))
    router = design(routed(both)).router
    assert router == Router("hetzner", "kubernetes", "10.240.0.0/24", ("10.240.0.0/24",))
    six = Machine("controller-0", "controller", "203.0.113.9", (ip_address("fd00::7"),))
    with pytest.raises(Stop, match="each machine needs an IPv4 address"):
        design(routed(worker(0), six))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("203.0.113.10", "203.0.113.10%$(id)"),
        ("10.240.0.6", "10.240.0.6;id"),
        ("10.200.0.0/24", "10.200.0.0/24\\n"),
        ("worker-0", "worker-0/../.."),
        ("enp6s0", "enp6s0 "),
        ('"port":22', '"port":{}'),
        ("10.240.0.0/24", "10.240.0.0/24;id"),
    ],
)
def test_a_spec_that_says_anything_else_is_none(right: str, wrong: str) -> None:
    text = design(routed(worker(0))).to_text()
    assert right in text
    with pytest.raises(ValueError, match=r"."):
        Spec.from_text(text.replace(right, wrong))


def test_pods_run_where_wanted_and_never_on_controllers() -> None:
    machines = (worker(0), worker(1), Machine("controller-0", "controller", "203.0.113.20"))
    assert [h.pod for h in design(cluster(*machines)).hosts] == [True, True, False]
    assert [h.pod for h in design(cluster(*machines), ["worker-1"]).hosts] == [False, True, False]
    assert not any(h.pod for h in design(cluster(*machines), []).hosts)


def test_left_out_values_are_invented_and_said() -> None:
    spec = design(
        cluster(worker(0), Machine("worker-1", "worker", "lb.example.com"), worker(2)),
    )
    host = spec.host("worker-1")
    assert host.internal_ips == ("10.240.0.2",)
    assert host.pod_cidrs == ("10.200.1.0/24",)
    assert host.address == "198.18.0.2"
    assert spec.invented == (
        "worker-1: internal IP 10.240.0.2; pod CIDR 10.200.1.0/24; "
        "public address 198.18.0.2 for lb.example.com",
    )


def test_a_controller_gets_an_internal_ip_and_no_pod_cidr() -> None:
    spec = design(cluster(worker(0), Machine("controller-0", "controller", "203.0.113.20")))
    assert spec.host("controller-0").internal_ips == ("10.240.0.2",)
    assert spec.host("controller-0").pod_cidrs == ()


def test_without_node_networks_internal_ips_come_from_a_free_network() -> None:
    bare = [Machine(f"worker-{n}", "worker", f"10.240.0.{n + 5}") for n in range(2)]
    spec = design(cluster(*bare, nodes=False))
    assert [host.internal_ips for host in spec.hosts] == [("10.240.1.2",), ("10.240.1.3",)]
    assert addresses(spec.hosts[0]) == {"eth0": ("10.240.0.5/24",), "enp6s0": ("10.240.1.2/24",)}


def test_a_public_ip_in_node_networks_is_the_internal_one() -> None:
    spec = design(cluster(Machine("worker-0", "worker", "10.240.0.5"), worker(1)))
    host = spec.host("worker-0")
    assert host.internal_ips == ("10.240.0.5",)
    assert addresses(host) == {"eth0": ("10.240.0.5/24",)}
    assert spec.invented == ("worker-0: pod CIDR 10.200.0.0/24",)


def test_one_link_where_both_addresses_are_on_it() -> None:
    """And on the bridge of those who have the same network on their second link."""
    single = replace(worker(0), public_ip="10.240.0.100")
    spec = design(cluster(single, worker(1)))
    assert addresses(spec.host("worker-0")) == {"eth0": ("10.240.0.100/24", "10.240.0.6/24")}
    assert spec.host("worker-0").nics[0].bridge == spec.host("worker-1").nics[1].bridge
    assert ("private", "10.240.0.1/24") in spec.gateways


def test_prefix_length_is_that_of_the_node_network() -> None:
    wide = replace(cluster(worker(0)), node_networks=(ip_network("10.240.0.0/20"),))
    assert addresses(design(wide).hosts[0])["enp6s0"] == ("10.240.0.6/20",)


def test_dual_stack() -> None:
    both = cluster(worker(0, (4, 6)), families=(4, 6))
    host = design(both).hosts[0]
    assert addresses(host)["enp6s0"] == ("10.240.0.6/24", "fd00:10:240::6/64")
    assert host.pod_cidrs == ("10.200.0.0/24", "fd00:10:200::/64")


def test_a_public_ipv6_address() -> None:
    spec = design(cluster(replace(worker(0), public_ip="2001:db8::10")))
    assert spec.hosts[0].nics[0].addresses == ("2001:db8::10/64",)
    assert spec.gateways == (("public", "2001:db8::1/64"),)


def test_no_room_for_pod_cidrs_is_said() -> None:
    bare = [replace(worker(n), pod_cidrs=()) for n in range(3)]
    small = replace(cluster(*bare), pod_networks=(ip_network("10.200.0.0/29"),))
    with pytest.raises(Stop, match=r"no room for the IPv4 pod CIDRs .* worker-0, worker-1"):
        design(small)


def test_smaller_pod_cidrs_where_a_24_each_has_no_room() -> None:
    bare = [replace(worker(n), pod_cidrs=()) for n in range(3)]
    small = replace(cluster(*bare), pod_networks=(ip_network("10.200.0.0/24"),))
    assert [host.pod_cidrs for host in design(small).hosts] == [
        ("10.200.0.0/26",),
        ("10.200.0.64/26",),
        ("10.200.0.128/26",),
    ]


def test_a_full_node_network_is_said() -> None:
    full = replace(
        cluster(Machine("worker-0", "worker", "203.0.113.10")),
        node_networks=(ip_network("10.240.0.0/31"),),
    )
    with pytest.raises(Stop, match="worker-0: no free IPv4 address"):
        design(full)


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Valid clusters with anything left out that may be."""
    families = draw(st.sampled_from([(4,), (6,), (4, 6)]))
    machines = []
    for number in range(draw(st.integers(1, 8))):
        machine = worker(number, families)
        public = draw(st.sampled_from(["as is", "a name", "internal", "198.18.0.2", "IPv6"]))
        if public == "a name":
            machine = replace(machine, public_ip=f"{machine.name}.example.com")
        elif public == "internal":
            machine = replace(machine, public_ip=str(machine.internal_ips[0]))
        elif public == "198.18.0.2":
            machine = replace(machine, public_ip=f"198.18.0.{2 + number}")
        elif public == "IPv6":
            machine = replace(machine, public_ip=f"2001:db8::{2 + number}")
        if draw(st.booleans()):
            machine = replace(machine, internal_ips=())
        if draw(st.booleans()):
            machine = replace(machine, pod_cidrs=())
        if draw(st.integers(0, 3)) == 0:
            machine = replace(machine, role="controller", pod_cidrs=())
        machines.append(machine)
    return cluster(*machines, families=families, nodes=draw(st.booleans()))


@given(clusters())
def test_what_is_invented_collides_with_nothing(given: Cluster) -> None:
    spec = design(given)
    families = {network.version for network in given.pod_networks}
    held = [set(chain.from_iterable(addresses(host).values())) for host in spec.hosts]
    everyone = [ip_interface(text).ip for text in chain.from_iterable(held)]
    gateways = [ip_interface(text).ip for _, text in spec.gateways]
    assert len({*everyone, *gateways}) == len(everyone) + len(gateways)
    cidrs = [ip_network(c) for host in spec.hosts for c in host.pod_cidrs]
    assert not any(a.overlaps(b) for a, b in combinations(cidrs, 2) if a.version == b.version)
    assert all(within(cidr, given.pod_networks) for cidr in cidrs)
    assert not any(ip in cidr for ip in everyone for cidr in cidrs)
    for machine, host in zip(given.machines, spec.hosts, strict=True):
        assert {ip_address(text).version for text in host.internal_ips} == families
        if machine.role == "worker":
            assert {ip_network(text).version for text in host.pod_cidrs} == families
        if machine.internal_ips:
            assert host.internal_ips == tuple(map(str, machine.internal_ips))
        if machine.pod_cidrs:
            assert host.pod_cidrs == tuple(map(str, machine.pod_cidrs))
        assert {host.address, *host.internal_ips} == {
            text.split("/")[0] for text in chain.from_iterable(addresses(host).values())
        }


def test_cni_configuration_names_every_family() -> None:
    host = design(cluster(worker(0, (4, 6)), families=(4, 6))).hosts[0]
    files = root_files.own(host)
    assert json.loads(files["etc/cni/net.d/10-bridge.conf"].text)["ipam"] == {
        "type": "host-local",
        "ranges": [[{"subnet": "10.200.0.0/24"}], [{"subnet": "fd00:10:200::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    assert 'podCIDR: "10.200.0.0/24"' in files["var/lib/kubelet/kubelet-config.yaml"].text


def test_accounts_are_nobodys_but_the_systems_and_the_users() -> None:
    users = "root:x:0:0::/root:/bin/zsh\nsshd:x:100:65534::/run/sshd:/bin/false\n"
    users += "ada:x:1000:1000::/home/ada:/bin/bash\nadmin:x:50:50::/:/bin/sh\n"
    files = root_files.accounts("admin", users, "root:x:0:\nada:x:1000:\nsudo:x:27:ada\n")
    assert files["etc/passwd"].text.splitlines() == [
        "root:x:0:0:root:/root:/bin/bash",
        "sshd:x:100:65534::/run/sshd:/bin/false",
        "admin:x:1000:1000::/home/admin:/bin/bash",
    ]
    assert files["etc/shadow"].text.splitlines()[0] == "root:*:19000:0:99999:7:::"
    assert files["etc/shadow"].mode == 0o640
    assert files["etc/group"].text.splitlines() == ["root:x:0:", "sudo:x:27:", "admin:x:1000:"]


def test_without_root_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Stop, match="needs root"):
        lifecycle.build(cluster(worker(0)), keep=False)


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lifecycle, "PLUGINS", ())
    monkeypatch.setattr(lifecycle, "PACKAGES", {"no-such-program": "openssh-server"})
    with pytest.raises(Stop, match="install containernetworking-plugins openssh-server"):
        lifecycle.build(cluster(worker(0)), keep=False)


def test_no_twin_is_found_where_none_is_kept(tmp_path: Path) -> None:
    assert lifecycle.find(tmp_path / "hosts.toml") is None


@pytest.mark.parametrize(
    "processes", [None, "[]", "[[7]]", '[["7;id", null]]', "[[7, null], [8, null]]", "7", "["]
)
def test_a_twin_that_says_what_it_cannot_say_is_not_used(
    processes: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "root/run/twin"
    home.mkdir(parents=True)
    (home / "spec").write_text(design(cluster(worker(0))).to_text())
    (home / "differs").write_text("[[]]")
    if processes is not None:
        (home / "processes").write_text(processes)
    monkeypatch.setattr(registry, "find", lambda _: SimpleNamespace(pid=7, proc=tmp_path))
    with pytest.raises(Stop, match=r"pid 7\) cannot be read: lab.down, then lab.up"):
        lifecycle.find(Path("hosts.toml"))
    (home / "processes").write_text("[[7, null]]")
    found = lifecycle.find(Path("hosts.toml"))
    assert found is not None
    assert found.processes == ((7, None),)


def test_a_machine_that_the_twin_has_not_is_named() -> None:
    built = lifecycle.Twin(registry.hold(os.getpid()), design(cluster(worker(0))), ())
    with pytest.raises(Stop, match="not in the twin that is up: worker-1"):
        built.cluster(cluster(worker(0), worker(1)))
