"""What is known of providers' networks, and how they are recognised."""

from ipaddress import ip_interface, ip_network

import pytest

from tasks.facts.providers import PROVIDERS, machine_notes, notes, provider_of, routed
from tests.builders import facts, route

PODS = (ip_network("10.200.0.0/16"),)


@pytest.mark.parametrize(
    ("maker", "provider"),
    [
        ("Vultr VC2-1C-1GB", "vultr"),
        ("DigitalOcean Droplet", "digitalocean"),
        ("Hetzner vServer", "hetzner-cloud"),
        ("Hetzner Dedicated", ""),
        ("Akamai Compute Instance", "linode"),
        ("Amazon EC2 t3.micro Amazon EC2", "aws"),
        ("Google Google Compute Engine", "gcp"),
        ("OpenStack Foundation OpenStack Nova", "openstack"),
        ("QEMU Standard PC OracleCloud.com", "oracle"),
        ("innotek GmbH VirtualBox", "virtualbox"),
        ("Dell Inc. PowerEdge R640", ""),
        ("", ""),
    ],
)
def test_a_machine_says_who_made_it(maker: str, provider: str) -> None:
    assert provider_of(facts(0, maker=maker)) == provider


def test_notes_name_the_pod_networks() -> None:
    (line,) = notes(["openstack", "openstack", "nobody"], PODS)
    assert line == "OpenStack: allow 10.200.0.0/16 on each port (allowed address pairs)"
    for name in PROVIDERS:
        assert "{" not in "".join(notes([name], ()))


@pytest.mark.parametrize(
    ("address", "line", "shown"),
    [
        ("10.0.0.2/32", "10.0.0.0/16 via 10.0.0.1 dev enp7s0", True),  # Hetzner Cloud
        ("10.128.0.2/32", "default via 10.128.0.1 dev enp7s0", True),  # Google
        ("fd00::2/128", "fd00::/64 via fd00::1 dev enp7s0", True),
        ("198.51.100.9/24", "default via 198.51.100.1 dev enp7s0", False),
        ("8.8.4.4/32", "default via 172.31.1.1 dev enp7s0", False),  # Hetzner's public side
        ("10.0.0.2/32", "10.0.0.0/16 via 10.0.0.1 dev enp8s0", False),
        ("10.0.0.2/32", "10.9.0.0/16 dev enp7s0", False),
        ("127.0.0.53/32", "10.0.0.0/16 via 10.0.0.1 dev enp7s0", False),
    ],
)
def test_an_address_alone_on_its_link_behind_a_gateway(
    address: str, line: str, shown: bool
) -> None:
    machine = facts(
        0, addresses=(("enp7s0", ip_interface(address)),), routes=(route(f"{line} proto static"),)
    )
    lines = routed(machine)
    assert len(lines) == shown
    assert all("this network is routed" in text for text in lines)


def test_many_addresses_alone_on_their_links_are_counted() -> None:
    vias = [f"10.9.{k}.0/24 via 10.8.0.{k} dev enp7s0 proto static" for k in range(1, 9)]
    addresses = tuple(("enp7s0", ip_interface(f"10.0.0.{k}/32")) for k in range(1, 9))
    lines = routed(facts(0, addresses=addresses, routes=tuple(map(route, vias))))
    assert lines[0].startswith("10.0.0.1/32 on enp7s0 is alone on its link, behind 10.8.0.1, ")
    assert "10.8.0.3 and 5 more: this network is routed" in lines[0]
    assert (len(lines), lines[-1]) == (6, "and 3 more")


def test_a_plan_is_told_of_each_provider_once_and_of_each_machine() -> None:
    asked = {
        "worker-0": facts(0, maker="Hetzner vServer"),
        "worker-1": facts(
            1,
            maker="Hetzner vServer",
            addresses=(("enp7s0", ip_interface("10.0.0.2/32")),),
            routes=(route("10.0.0.0/16 via 10.0.0.1 dev enp7s0 proto static"),),
        ),
    }
    lines = machine_notes(asked, PODS)
    assert [line.split(":")[0] for line in lines] == ["Hetzner Cloud", "Hetzner Cloud", "worker-1"]
    assert lines[1] == "Hetzner Cloud: the MTU here is 1450"
