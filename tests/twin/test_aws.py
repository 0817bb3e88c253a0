"""The stand-in for aws: the form of its answers, and what it refuses."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tasks.inventory.model import ProviderNetwork
from tasks.twin import aws
from tasks.twin.design import design
from tasks.twin.stand_in import Leading, Refused, Table
from tests.lab.conftest import tutorial

TABLE = "rtb-0123456789abcdef0"
ONE, OTHER = "eni-00000000000000001", "eni-00000000000000002"
PORTS = frozenset((f"{n}-enp6s0", f"10.240.0.{6 + n}") for n in range(3))


@pytest.fixture
def table() -> Table:
    return aws.table_of(design(replace(tutorial(), network=ProviderNetwork("aws", TABLE))))


def shown(table: Table, line: str) -> Any:
    """The JSON that a command prints; None for nothing."""
    words = ["--output", "json", "ec2", *line.split(), "--region", "eu-central-1"]
    return json.loads(aws.answer(table, words) or "null")


def route(table: Table, verb: str, to: str, interface: str = ONE) -> Any:
    where = f"--route-table-id {TABLE} --destination-cidr-block {to}"
    last = "" if verb == "delete" else f" --network-interface-id {interface}"
    return shown(table, f"{verb}-route {where}{last}")


def test_routes_come_change_and_go(table: Table) -> None:
    assert route(table, "create", "10.200.1.9/24") == {"Return": True}
    (found,) = shown(table, f"describe-route-tables --route-table-ids {TABLE}")["RouteTables"]
    assert [r["DestinationCidrBlock"] for r in found["Routes"]] == [
        "10.240.0.0/24",
        "10.200.1.0/24",
    ]
    assert found["Routes"][1]["NetworkInterfaceId"] == ONE
    assert aws.leading(table).routes == {("10.200.1.0/24", "10.240.0.7")}
    assert route(table, "replace", "10.200.1.0/24", OTHER) is None
    assert aws.leading(table).routes == {("10.200.1.0/24", "10.240.0.8")}
    assert route(table, "delete", "10.200.1.0/24") is None
    assert aws.leading(table) == Leading(frozenset(), PORTS)


def test_sources_are_checked_until_that_is_switched_off(table: Table) -> None:
    change = f"modify-network-interface-attribute --network-interface-id {ONE}"
    assert shown(table, f"{change} --no-source-dest-check") is None
    (found,) = shown(table, f"describe-network-interfaces --network-interface-ids {ONE}").values()
    assert found[0]["SourceDestCheck"] is False
    assert aws.leading(table).checked == PORTS - {("1-enp6s0", "10.240.0.7")}
    shown(table, f"{change} --source-dest-check")
    assert aws.leading(table).checked == PORTS


def test_what_is_shown_is_chosen(table: Table) -> None:
    of_vpc = f"--filters Name=vpc-id,Values={aws.VPC}"
    assert len(shown(table, f"describe-network-interfaces {of_vpc}")["NetworkInterfaces"]) == 3
    ours = f"{of_vpc} Name=private-ip-address,Values=10.240.0.6,10.240.0.8"
    assert len(shown(table, f"describe-network-interfaces {ours}")["NetworkInterfaces"]) == 2
    (subnet,) = shown(table, f"describe-subnets {of_vpc}")["Subnets"]
    assert subnet["CidrBlock"] == "10.240.0.0/24"
    (vpc,) = shown(table, f"describe-vpcs --vpc-ids {aws.VPC}")["Vpcs"]
    assert vpc["CidrBlockAssociationSet"][0]["CidrBlock"] == "10.240.0.0/24"
    reservations = shown(table, "describe-instances")["Reservations"]
    tags = [one["Instances"][0]["Tags"][0]["Value"] for one in reservations]
    assert tags == ["worker-0", "worker-1", "worker-2"]


CREATE = f"create-route --route-table-id {TABLE} --destination-cidr-block {{}}"
REPLACE, DELETE = CREATE.replace("create", "replace"), CREATE.replace("create", "delete")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            f"{CREATE} --network-interface-id {ONE}".format("10.200.1.0/24"),
            "(RouteAlreadyExists) when calling the CreateRoute operation: The route identified by"
            " 10.200.1.0/24 already exists.",
        ),
        (
            f"{CREATE} --network-interface-id eni-9".format("10.200.2.0/24"),
            "(InvalidNetworkInterfaceID.NotFound) when calling the CreateRoute operation: The"
            " networkInterface ID 'eni-9' does not exist",
        ),
        (
            f"{REPLACE} --network-interface-id {ONE}".format("10.200.2.0/24"),
            "(InvalidParameterValue) when calling the ReplaceRoute operation: There is no route"
            " defined for '10.200.2.0/24' in the route table. Use CreateRoute instead.",
        ),
        (
            DELETE.format("10.200.2.0/24"),
            "(InvalidRoute.NotFound) when calling the DeleteRoute operation: no route with"
            f" destination-cidr-block 10.200.2.0/24 in route table {TABLE}",
        ),
        (
            f"{CREATE} --network-interface-id {ONE}".format("10.200.2.0/240"),
            "(InvalidParameterValue) when calling the CreateRoute operation",
        ),
        (
            "describe-route-tables --route-table-ids rtb-9",
            "(InvalidRouteTableID.NotFound) when calling the DescribeRouteTables operation: The"
            " routeTable ID 'rtb-9' does not exist",
        ),
        (
            "describe-subnets --filters Name=colour,Values=red",
            "(InvalidParameterValue) when calling the DescribeSubnets operation: The filter"
            " 'colour' is invalid",
        ),
        (
            "terminate-instances --instance-ids i-1",
            "the stand-in for rehearsals cannot: aws --output json ec2 terminate-instances",
        ),
        ("create-route --route-table-id", "the stand-in for rehearsals cannot: aws --output json"),
    ],
)
def test_what_the_api_refuses_changes_nothing(table: Table, line: str, words: str) -> None:
    route(table, "create", "10.200.1.0/24")
    before = json.dumps(table)
    with pytest.raises(Refused) as refused:
        shown(table, line)
    assert words in str(refused.value)
    assert json.dumps(table) == before


def test_a_table_has_fifty_routes(table: Table) -> None:
    for number in range(aws.LIMIT - 1):  # and the one of the VPC itself
        route(table, "create", f"10.200.{number}.0/24")
    with pytest.raises(Refused, match="RouteLimitExceeded"):
        route(table, "create", "10.200.99.0/24")
