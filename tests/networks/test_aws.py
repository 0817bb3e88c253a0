"""AWS's route tables by the real aws, against a stand-in for its API: reading, and troubles."""

import json
import os
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tasks.common.errors import Stop
from tasks.inventory.model import ProviderNetwork
from tasks.networks import calls
from tasks.networks.aws import AWS
from tasks.networks.model import Member, Table, TableRoute
from tasks.networks.provider import Provider, provider_of
from tests import api as programs

from .builders import table_route
from .ec2_api import Ec2Api, Reply, error, serving

pytestmark = pytest.mark.system
ROUTE, OTHER = map(table_route, ("10.200.1.0/24 via 10.240.0.7", "10.200.1.0/24 via 10.240.0.6"))


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2Api]:
    """An API with two machines, which the aws of this process finds; it tries twice."""
    monkeypatch.setattr(calls, "WAITS", (0.01,))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = Ec2Api({"eni-0": "10.240.0.6", "eni-1": "10.240.0.7"}, "10.240.0.0/16")
    with serving(found, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield found


def network(name: str = "rtb-1", seconds: float = 60) -> Provider:
    return provider_of(ProviderNetwork("aws", name), seconds)


def stopped(call: Callable[[], object]) -> str:
    """The one line with which a call stops. It holds no key."""
    with pytest.raises(Stop) as stop:
        call()
    (line,) = str(stop.value).splitlines()
    assert line.startswith("network rtb-")
    assert "fa1rly-secret" not in line
    return line


def test_the_table_is_read(api: Ec2Api) -> None:
    api.routes = {"10.200.1.0/24": "eni-1", "0.0.0.0/0": "igw-1", "10.200.9.0/24": "eni-9"}
    api.unchecked = {"eni-1"}
    assert network().read() == Table(
        id="rtb-1",
        ranges=(ip_network("10.240.0.0/16"),),
        subnets=(ip_network("10.240.0.0/16"),),
        gateway=None,
        routes=(
            ROUTE,
            TableRoute(ip_network("0.0.0.0/0"), None, "igw-1"),
            TableRoute(ip_network("10.200.9.0/24"), None, "eni-9", dead=True),
        ),
        members=(
            Member(ip_address("10.240.0.6"), "eni-0", "i-0", source_check=True),
            Member(ip_address("10.240.0.7"), "eni-1", "i-1"),
        ),
        limit=50,
    )
    assert api.asked == ["DescribeRouteTables", "DescribeNetworkInterfaces", "DescribeRouteTables"]


def test_machines_whose_subnet_uses_another_table_are_known(api: Ec2Api) -> None:
    api.machines["eni-2"] = "10.240.1.8"
    assert [member.led for member in network().read().members] == [True, True, True]
    api.tables = {"subnet-1": "rtb-2"}
    assert [member.led for member in network().read().members] == [True, True, False]


def test_of_a_table_that_is_not_the_main_one_its_own_subnets_count(
    api: Ec2Api, tmp_path: Path
) -> None:
    route_table = {
        "RouteTableId": "rtb-1",
        "VpcId": "vpc-1",
        "Routes": [],
        "Associations": [{"Main": False, "SubnetId": "subnet-1"}],
    }
    interfaces = [
        {
            "NetworkInterfaceId": f"eni-{n}",
            "SubnetId": f"subnet-{n}",
            "PrivateIpAddresses": [{"PrivateIpAddress": f"10.240.{n}.6"}],
            "Attachment": {"InstanceId": f"i-{n}"},
        }
        for n in range(2)
    ]
    tables, links = (
        json.dumps({name: value})
        for name, value in (("RouteTables", [route_table]), ("NetworkInterfaces", interfaces))
    )
    body = f"print({tables!r} if 'describe-route-tables' in arguments else {links!r})"
    programs.stand_in(tmp_path, "aws", body)
    assert [member.led for member in network().read().members] == [False, True]


def test_routes_and_checks_are_changed(api: Ec2Api) -> None:
    here = network()
    table = here.read()
    here.add(table, ROUTE)
    assert api.routes == {"10.200.1.0/24": "eni-1"}
    here.replace(table, ROUTE, OTHER)
    assert api.routes == {"10.200.1.0/24": "eni-0"}
    assert api.asked[3:] == ["CreateRoute", "ReplaceRoute"]
    here.check_sources(table.members[0], on=False)
    assert api.unchecked == {"eni-0"}
    here.check_sources(table.members[0], on=True)
    assert api.unchecked == set()
    here.remove(table, OTHER)
    assert api.routes == {}


def refusing(reply: Reply) -> Callable[[str], Reply | None]:
    return lambda _action: reply


REFUSALS = {
    "AuthFailure": "the key is wrong",
    "RequestExpired": "log in anew",
    "UnauthorizedOperation": "the key lacks this permission",
    "RouteLimitExceeded": "the table is full",
    "RequestLimitExceeded": "wait some minutes",
    "InvalidNetworkInterfaceID.NotFound": "that machine's interface is gone",
    "RouteAlreadyExists": "another route has this destination",
}


def test_refusals() -> None:
    for code, words in REFUSALS.items():
        said = f"An error occurred ({code}) when calling the CreateRoute operation: no."
        assert words in AWS.explained(said)


def test_a_full_table(api: Ec2Api) -> None:
    table = network().read()
    api.limit = 0
    assert "the table is full" in stopped(lambda: network().add(table, ROUTE))


def test_no_key(api: Ec2Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "run `aws configure`" in stopped(network().read)
    assert api.asked == []


def test_no_region(api: Ec2Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "AWS_DEFAULT_REGION" in stopped(network().read)
    assert api.asked == []


def test_no_such_table(api: Ec2Api) -> None:
    assert "correct name in [network]" in stopped(network("rtb-2").read)
    assert len(api.asked) == 1


def test_busy_once(api: Ec2Api, capfd: pytest.CaptureFixture[str]) -> None:
    left = [error(503, "RequestLimitExceeded", "Request limit exceeded.")]
    api.fault = lambda _action: left.pop() if left else None
    assert network().read().routes == ()
    assert "trying again" in capfd.readouterr().err


def test_an_answer_that_is_no_xml(api: Ec2Api) -> None:
    api.fault = refusing((200, "<html>Bad Gateway"))
    assert "the API answers what is none" in stopped(network().read)


def test_an_api_that_is_not_reached(api: Ec2Api, tmp_path: Path) -> None:
    program = tmp_path / "aws"
    program.write_text(re.sub("127.0.0.1:[0-9]+", "127.0.0.1:1", program.read_text()))
    assert "the API cannot be reached from here" in stopped(network().read)
    assert api.asked == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "print('aws: error: argument command: Invalid choice', file=sys.stderr); sys.exit(2)",
            "old",
        ),
        ("print('[]')", "its answer cannot be read"),
        ("print('{\"RouteTables\": []}')", "aws's answer cannot be read"),
        (
            'print(\'{"RouteTables": [{"RouteTableId": "r", "VpcId": "a b", "Routes": []}]}\')',
            "not a word",
        ),
    ],
)
def test_a_program_that_is_another(api: Ec2Api, tmp_path: Path, body: str, words: str) -> None:
    programs.stand_in(tmp_path, "aws", body)
    assert words in stopped(network().read)
    assert api.asked == []
