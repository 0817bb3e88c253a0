"""`fab discover` and [network]: proposed where it is certain, kept where there is one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.inventory.model import ProviderNetwork
from tasks.inventory.read import read
from tests import api

from .test_discover import HOSTS, Operator, rows

NETWORK = '[network]\nprovider = "hetzner"\nname = "kubernetes"\n'
NAMES = {7: "kubernetes", 8: "other"}
BGP = HOSTS.replace("[cluster]\n", '[cluster]\nrouting = "bgp"\n')
HELD = HOSTS.replace("\n[[workers]]", f"\n{NETWORK}\n[[workers]]", 1)


def server(number: int, *networks: int) -> dict[str, Any]:
    """A server of hcloud, in these networks."""
    private = [{"network": n, "ip": f"10.240.{n - 7}.{6 + number}"} for n in networks]
    public = {"ipv4": {"ip": f"203.0.113.{10 + number}"}}
    return {"name": f"worker-{number}", "public_net": public, "private_net": private}


def hcloud(operator: Operator, *servers: dict[str, Any]) -> None:
    """An hcloud that lists these servers, and two networks."""
    networks = json.dumps([{"id": id_, "name": name} for id_, name in NAMES.items()])
    listed = json.dumps(servers)
    body = f"print({networks!r} if arguments[0] == 'network' else {listed!r})"
    api.stand_in(operator.dir, "hcloud", body)


def aws(operator: Operator, subnets: dict[str, str], tables: dict[str, str]) -> None:
    """An aws that lists a machine in each subnet, and which table each subnet uses."""
    instances = [
        {
            "InstanceId": f"i-{n}",
            "PublicIpAddress": f"203.0.113.1{n}",
            "NetworkInterfaces": [{"PrivateIpAddress": ip, "SubnetId": subnet, "VpcId": "vpc-1"}],
            "Tags": [{"Key": "Name", "Value": f"worker-{n}"}],
        }
        for n, (ip, subnet) in enumerate(subnets.items(), 1)
    ]
    found = [
        {"RouteTableId": table, "VpcId": "vpc-1", "Associations": [{"SubnetId": subnet}]}
        for subnet, table in tables.items()
    ]
    answers = [{"Reservations": [{"Instances": instances}]}, {"RouteTables": found}]
    one, other = map(json.dumps, answers)
    body = f"print({one!r} if 'describe-instances' in arguments else {other!r})"
    api.stand_in(operator.dir, "aws", body)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    operator = Operator(tmp_path)
    operator.hosts.write_text(HOSTS)
    return operator


def test_the_network_that_all_servers_share_is_shown_and_written(operator: Operator) -> None:
    hcloud(operator, server(1, 7), server(2, 7))
    shown = operator.discover("--from", "hcloud")
    assert rows(shown.stdout)[0] == [
        "[network]",
        "name",
        "kubernetes",
        "(hetzner)",
        "hcloud",
        "new",
    ]
    assert "Name the network" not in shown.stdout
    assert operator.hosts.read_text() == HOSTS
    assert operator.discover("--from", "hcloud", "--write").returncode == 0
    assert (
        f'pod_networks = ["10.200.0.0/16"]\n\n{NETWORK}\n[[workers]]' in operator.hosts.read_text()
    )
    network = read(operator.hosts).network
    assert network
    assert str(network) == "kubernetes (hetzner)"
    again = operator.discover("--from", "hcloud", "--write")
    assert rows(again.stdout)[0][-1] == "same"
    assert "nothing to write" in again.stderr


def test_a_new_file_names_it_too(operator: Operator) -> None:
    operator.hosts.unlink()
    hcloud(operator, server(1, 7), server(2, 7), server(3, 8))
    choice = ("--match", "worker-1,worker-2", "--pod-networks", "10.200.0.0/16")
    assert operator.discover("--from", "hcloud", *choice, "--write").returncode == 0
    network = read(operator.hosts, with_key=False).network
    assert network == ProviderNetwork(
        "hetzner", "kubernetes", network.memory if network else Path()
    )


@pytest.mark.parametrize(
    ("servers", "hosts", "line"),
    [
        ([server(1, 7), server(2)], HOSTS, "with the internal IP of worker-2"),
        ([server(1, 7)], HOSTS, "with the internal IP of worker-2"),
        (
            [server(1, 7), server(2, 8)],
            HOSTS,
            "there are 2: kubernetes (hetzner) of worker-1; other",
        ),
        ([server(1, 7), server(2, 7, 8)], HOSTS, "depends on the internal IPs that are to choose"),
        ([server(1, 7), server(2, 7)], BGP, 'routing is "bgp"'),
    ],
)
def test_where_it_is_not_certain_nothing_is_written_and_a_line_says_why(
    operator: Operator, servers: list[dict[str, Any]], hosts: str, line: str
) -> None:
    hcloud(operator, *servers)
    operator.hosts.write_text(hosts)
    done = operator.discover("--from", "hcloud", "--write")
    assert "no [network] is proposed: " in done.stdout
    assert line in " ".join(done.stdout.split())
    assert "[network]\n" not in operator.hosts.read_text()


def test_ipv6_pods_are_no_routes_of_it(operator: Operator) -> None:
    hcloud(operator, server(1, 7))
    operator.hosts.unlink()
    choice = ("--match", "worker-1", "--pod-networks", "10.200.0.0/16,fd00::/48", "--write")
    done = operator.discover("--from", "hcloud", *choice)
    assert done.returncode == 0
    assert "pod_networks has IPv6" in done.stdout
    assert "[network]" not in operator.hosts.read_text()


@pytest.mark.parametrize("held", ["other", "8"])
def test_one_that_is_there_is_kept_and_a_difference_is_told(operator: Operator, held: str) -> None:
    hcloud(operator, server(1, 7), server(2, 7))
    text = HELD.replace('name = "kubernetes"', f'name = "{held}"')
    operator.hosts.write_text(text)
    done = operator.discover("--from", "hcloud", "--write")
    told = " ".join(done.stdout.split())
    assert f"{held} (hetzner) in [network] is kept, but hcloud has all machines in" in told
    assert f"{NETWORK.replace('kubernetes', held)}" in operator.hosts.read_text()


def test_its_id_in_the_file_is_the_same(operator: Operator) -> None:
    hcloud(operator, server(1, 7), server(2, 7))
    operator.hosts.write_text(HELD.replace('"kubernetes"', '"7"'))
    done = operator.discover("--from", "hcloud")
    assert rows(done.stdout)[0][-1] == "same"


AWS = {
    "several subnets of one table": (
        {"10.240.0.7": "subnet-1", "10.240.1.8": "subnet-2"},
        {"subnet-1": "rtb-1", "subnet-2": "rtb-1"},
        "rtb-1 (aws) aws new",
    ),
    "one subnet": (
        {"10.240.0.7": "subnet-1", "10.240.0.8": "subnet-1"},
        {"subnet-1": "rtb-1"},
        "all machines are in one subnet, subnet-1: routes on the machines are enough",
    ),
    "two tables": (
        {"10.240.0.7": "subnet-1", "10.240.1.8": "subnet-2"},
        {"subnet-1": "rtb-1", "subnet-2": "rtb-2"},
        "there are 2: rtb-1 (aws) of worker-1; rtb-2 (aws) of worker-2",
    ),
    "no table that is known": (
        {"10.240.0.7": "subnet-1", "10.240.1.8": "subnet-2"},
        {"subnet-1": "rtb-1"},
        "aws shows no private network with the internal IP of worker-2",
    ),
}


@pytest.mark.parametrize(("subnets", "tables", "line"), AWS.values(), ids=AWS)
def test_a_route_table_of_aws(
    operator: Operator, subnets: dict[str, str], tables: dict[str, str], line: str
) -> None:
    aws(operator, subnets, tables)
    done = operator.discover("--from", "aws", "--write")
    assert line in " ".join(done.stdout.split())
    network = read(operator.hosts).network
    assert (network is not None) == ("new" in line)
