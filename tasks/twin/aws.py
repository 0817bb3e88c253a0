"""The stand-in for aws in a rehearsal: the commands of `aws ec2` for the route table of a VPC.

What it prints has the form of aws's JSON, with the fields that matter here. Errors have the codes
of the EC2 API (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html). Unlike
the real one it needs no key and no region.

It runs as `python -m tasks.twin.aws HOME WORD...`; HOME is the directory of the twin's files. Its
table holds the API's objects, by the name of the list that they are shown in.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import values

from .stand_in import ROUTER, Leading, Refused, Table, run

if TYPE_CHECKING:
    from .design import Spec

PROGRAM = "aws"
LIMIT = 50  # routes of a table, by default
VPC, OWNER = "vpc-00000000000000001", "123456789012"
# What a filter of --filters compares.
FILTERS = {
    "vpc-id": "VpcId",
    "subnet-id": "SubnetId",
    "route-table-id": "RouteTableId",
    "network-interface-id": "NetworkInterfaceId",
    "instance-id": "InstanceId",
    "private-ip-address": "PrivateIpAddress",
    "addresses.private-ip-address": "PrivateIpAddress",
    "status": "Status",
}
# What a command shows, and the flag that names some of it.
SHOWN = {
    "describe-vpcs": ("Vpcs", "vpc-ids", "VpcId"),
    "describe-subnets": ("Subnets", "subnet-ids", "SubnetId"),
    "describe-route-tables": ("RouteTables", "route-table-ids", "RouteTableId"),
    "describe-network-interfaces": (
        "NetworkInterfaces",
        "network-interface-ids",
        "NetworkInterfaceId",
    ),
}
UNKNOWN = {
    "RouteTableId": ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    "NetworkInterfaceId": (
        "InvalidNetworkInterfaceID.NotFound",
        "The networkInterface ID '{}' does not exist",
    ),
    "VpcId": ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    "SubnetId": ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
}

Flags = Mapping[str, Sequence[str]]


class _ApiError(Exception):
    """An error of the API: its code, and what it says."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def table_of(spec: "Spec") -> Table:
    """The VPC, its route table and its instances as the API shows them, before there is a route."""
    from .wiring import port

    router = spec.router
    assert router is not None
    subnets = {
        values.network(text): f"subnet-{number:017x}" for number, text in enumerate(router.subnets)
    }
    interfaces = []
    for number, host in enumerate(spec.hosts):
        own = next(ip for ip in host.internal_ips if ":" not in ip)
        nic = next(nic for nic in host.nics if nic.bridge == ROUTER)
        here = next(id_ for subnet, id_ in subnets.items() if values.address(own) in subnet)
        interfaces.append(
            {
                "Attachment": {"InstanceId": f"i-{number:017x}", "Status": "attached"},
                "Description": port(number, nic),
                "NetworkInterfaceId": f"eni-{number:017x}",
                "PrivateIpAddress": own,
                "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": own}],
                "SourceDestCheck": True,
                "Status": "in-use",
                "SubnetId": here,
                "TagSet": [{"Key": "Name", "Value": host.name}],
                "VpcId": VPC,
            }
        )
    local = {
        "DestinationCidrBlock": router.range,
        "GatewayId": "local",
        "Origin": "CreateRouteTable",
        "State": "active",
    }
    block = {"CidrBlock": router.range, "CidrBlockState": {"State": "associated"}}
    return {
        "Vpcs": [
            {"VpcId": VPC, "CidrBlock": router.range, "CidrBlockAssociationSet": [block]},
        ],
        "Subnets": [
            {"SubnetId": id_, "VpcId": VPC, "CidrBlock": str(subnet)}
            for subnet, id_ in subnets.items()
        ],
        "NetworkInterfaces": interfaces,
        "RouteTables": [
            {
                "RouteTableId": router.name,
                "VpcId": VPC,
                "Associations": [{"Main": True, "RouteTableId": router.name}],
                "Routes": [local],
            }
        ],
    }


def leading(table: Table) -> Leading:
    """How the router leads packets: by the routes to interfaces, which may check addresses."""
    interfaces = {one["NetworkInterfaceId"]: one for one in table["NetworkInterfaces"]}
    (routes,) = (one["Routes"] for one in table["RouteTables"])
    return Leading(
        frozenset(
            (route["DestinationCidrBlock"], interfaces[to]["PrivateIpAddress"])
            for route in routes
            if (to := route.get("NetworkInterfaceId")) in interfaces
        ),
        frozenset(
            (one["Description"], one["PrivateIpAddress"])
            for one in interfaces.values()
            if one["SourceDestCheck"]
        ),
    )


def answer(table: Table, words: Sequence[str]) -> str:
    """What a command prints. It may change the table. Raises Refused."""
    plain, flags = _parsed(words)
    command = plain[1] if len(plain) > 1 and plain[0] == "ec2" else ""
    try:
        shown = _answer(table, command, flags)
    except _ApiError as error:
        operation = "".join(map(str.capitalize, command.split("-")))
        head = f"An error occurred ({error.code}) when calling the {operation} operation"
        raise Refused(f"\n{head}: {error}") from None
    except (KeyError, ValueError):
        raise Refused(f"the stand-in for rehearsals cannot: aws {' '.join(words)}") from None
    return json.dumps(shown, indent=4) if shown is not None else ""


def _parsed(words: Sequence[str]) -> tuple[list[str], Flags]:
    """The words that are no flags, and each flag with its values."""
    plain: list[str] = []
    flags: dict[str, list[str]] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        flags[name] = [value] if equals else []
        most = len(left) if name == "filters" or name.endswith("-ids") else 1
        if equals or name.endswith("source-dest-check"):
            most = 0
        while len(flags[name]) < most and left and not left[0].startswith("--"):
            flags[name].append(left.pop(0))
    return plain, flags


def _answer(table: Table, command: str, flags: Flags) -> Any:
    """What a command shows; None for nothing. Raises _ApiError, or KeyError if it is unknown."""
    match command:
        case "create-route" | "replace-route" | "delete-route":
            return _change(table, command, flags)
        case "modify-network-interface-attribute":
            (id_,) = flags["network-interface-id"]
            _check_sources(_one(table["NetworkInterfaces"], "NetworkInterfaceId", id_), flags)
            return None
        case "describe-instances":
            found = [_instance(one) for one in table["NetworkInterfaces"]]
            chosen = _chosen(found, flags, "instance-ids", "InstanceId")
            return {"Reservations": [{"OwnerId": OWNER, "Instances": [one]} for one in chosen]}
    name, flag, key = SHOWN[command]
    return {name: _chosen(table[name], flags, flag, key)}


def _chosen(every: Sequence[Table], flags: Flags, flag: str, key: str) -> list[Table]:
    """The objects that the flags of a command choose."""
    found = [_one(every, key, id_) for id_ in flags[flag]] if flag in flags else list(every)
    for text in flags.get("filters", ()):
        name, _, listed = text.removeprefix("Name=").partition(",Values=")
        if name not in FILTERS:
            raise _ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        found = [one for one in found if str(one.get(FILTERS[name])) in listed.split(",")]
    return found


def _one(every: Sequence[Table], key: str, id_: str) -> Table:
    for one in every:
        if one[key] == id_:
            return one
    code, words = UNKNOWN[key]
    raise _ApiError(code, words.format(id_))


def _instance(interface: Table) -> Table:
    """The instance of an interface; each has one."""
    return {
        "InstanceId": interface["Attachment"]["InstanceId"],
        "PrivateIpAddress": interface["PrivateIpAddress"],
        "State": {"Code": 16, "Name": "running"},
        "SubnetId": interface["SubnetId"],
        "VpcId": VPC,
        "SourceDestCheck": interface["SourceDestCheck"],
        "NetworkInterfaces": [interface],
        "Tags": interface["TagSet"],
    }


def _change(table: Table, command: str, flags: Flags) -> Any:
    """Change the route table."""
    (id_,), (text,) = flags["route-table-id"], flags["destination-cidr-block"]
    routes = _one(table["RouteTables"], "RouteTableId", id_)["Routes"]
    try:
        destination = str(values.network(text))
    except ValueError:
        words = f"Value ({text}) for parameter destinationCidrBlock is invalid."
        raise _ApiError(
            "InvalidParameterValue", f"{words} This is not a valid CIDR block."
        ) from None
    there = [one for one in routes if one["DestinationCidrBlock"] == destination]
    if command == "delete-route":
        if not there:
            words = f"no route with destination-cidr-block {destination} in route table {id_}"
            raise _ApiError("InvalidRoute.NotFound", words)
        routes.remove(there[0])
        return None
    (to,) = flags["network-interface-id"]
    interface = _one(table["NetworkInterfaces"], "NetworkInterfaceId", to)
    route = {
        "DestinationCidrBlock": destination,
        "InstanceId": interface["Attachment"]["InstanceId"],
        "InstanceOwnerId": OWNER,
        "NetworkInterfaceId": to,
        "Origin": "CreateRoute",
        "State": "active",
    }
    if command == "replace-route":
        if not there:
            words = f"There is no route defined for '{destination}' in the route table."
            raise _ApiError("InvalidParameterValue", f"{words} Use CreateRoute instead.")
        routes[routes.index(there[0])] = route
        return None
    if there:
        words = f"The route identified by {destination} already exists."
        raise _ApiError("RouteAlreadyExists", words)
    if len(routes) >= LIMIT:
        raise _ApiError("RouteLimitExceeded", "The maximum number of routes has been reached.")
    routes.append(route)
    return {"Return": True}


def _check_sources(interface: Table, flags: Flags) -> None:
    """Switch the check of an interface's source and destination addresses."""
    if "no-source-dest-check" in flags:
        interface["SourceDestCheck"] = False
    elif flags["source-dest-check"] == []:
        interface["SourceDestCheck"] = True
    else:
        raise KeyError


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:], answer, leading, status=254))
