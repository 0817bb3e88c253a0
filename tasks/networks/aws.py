"""AWS's VPCs, by aws: the route table that the subnets of the machines use.

A VPC leads packets by that table wherever they come from, also inside one subnet, if they reach its
router. Machines need no route to pods for that: their default route leads there. But each network
interface drops packets with an address that is not its own until its source/destination check is
switched off (https://docs.aws.amazon.com/vpc/latest/userguide/VPC_NAT_Instance.html#EIP_Disable_SrcDestCheck).

`aws ec2` prints the objects of the EC2 API
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RouteTable.html), all pages as one.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from tasks.common.errors import Stop
from tasks.common.provider_cli import Answer
from tasks.common.values import address, network, word

from .calls import Calls, Program
from .model import Member, Table, TableRoute

_T = TypeVar("_T")

LIMIT = 50  # routes of one table, by AWS's default quota

AWS = Program(
    name="aws",
    key="AWS_SECRET_ACCESS_KEY",
    missing="apt-get install awscli",
    busy=re.compile(
        r"\((RequestLimitExceeded|Throttling\w*|RequestThrottled|IncorrectState|InternalError"
        r"|InternalFailure|ServiceUnavailable|Unavailable)\b"
    ),
    troubles=(
        (
            "Unable to locate credentials|could not be found",
            "`aws configure` stores a key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            "[Yy]ou must specify a region",
            "`aws configure set region REGION` stores one, or set AWS_DEFAULT_REGION",
        ),
        (
            r"\((AuthFailure|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClient)",
            "the key is wrong, or was deleted: `aws configure list` names the one in use",
        ),
        (r"\((ExpiredToken|RequestExpired)", "the key has expired: log in again"),
        (
            r"\((UnauthorizedOperation|AccessDenied)",
            "the key needs ec2:DescribeRouteTables, DescribeVpcs, DescribeSubnets,"
            " DescribeNetworkInterfaces, CreateRoute, ReplaceRoute, DeleteRoute and"
            " ModifyNetworkInterfaceAttribute",
        ),
        (
            r"\(InvalidRouteTableI[dD]",
            "`aws ec2 describe-route-tables` shows those of this region; correct name in [network]",
        ),
        (
            r"\(InvalidNetworkInterfaceI[dD]",
            "the interface is gone: run `fab plan` again",
        ),
        (
            r"\(RouteLimitExceeded\b",
            f"a table holds {LIMIT} routes unless AWS raises its quota: delete what nobody needs",
        ),
        (r"\(RouteAlreadyExists\b", "somebody has added one meanwhile: run `fab plan` again"),
        (
            r"\((RequestLimitExceeded|Throttling|RequestThrottled)",
            "the account has used up its requests: wait some minutes",
        ),
        (
            "Could not connect|Connect timeout|Read timeout|SSL|Connection was closed",
            "the API cannot be reached from here",
        ),
        (
            "[Ii]nvalid choice|Unknown options",
            "this aws is too old: 1.18 or newer is needed",
        ),
    ),
)


class _Route(Answer):
    DestinationCidrBlock: str | None = None  # None: IPv6, or a prefix list
    NetworkInterfaceId: str | None = None
    GatewayId: str | None = None
    NatGatewayId: str | None = None
    TransitGatewayId: str | None = None
    VpcPeeringConnectionId: str | None = None
    State: str = "active"


class _RouteTable(Answer):
    RouteTableId: str
    VpcId: str
    Routes: list[_Route]


class _RouteTables(Answer):
    RouteTables: list[_RouteTable]


class _BlockState(Answer):
    State: str = "associated"


class _Block(Answer):
    CidrBlock: str
    CidrBlockState: _BlockState = _BlockState()


class _Vpc(Answer):
    CidrBlock: str
    CidrBlockAssociationSet: list[_Block] | None = None


class _Vpcs(Answer):
    Vpcs: list[_Vpc]


class _Subnet(Answer):
    CidrBlock: str


class _Subnets(Answer):
    Subnets: list[_Subnet]


class _Attachment(Answer):
    InstanceId: str | None = None


class _Private(Answer):
    PrivateIpAddress: str


class _Interface(Answer):
    NetworkInterfaceId: str
    PrivateIpAddresses: list[_Private]
    SourceDestCheck: bool = True
    Attachment: _Attachment | None = None


class _Interfaces(Answer):
    NetworkInterfaces: list[_Interface]


class Aws:
    """One route table of a VPC. `id_`: its ID, which is its name in hosts.toml."""

    atomic = True

    def __init__(self, calls: Calls, id_: str) -> None:
        self._calls = calls
        self._id = id_

    def read(self) -> Table:
        """The table with its VPC and its interfaces: four commands, which ask page by page."""
        tables = self._ask(_RouteTables, "route-tables", "--route-table-ids", self._id).RouteTables
        if len(tables) != 1:
            raise Stop(f"network {self._id}: aws shows {len(tables)} route tables of this ID")
        (table,) = tables
        within = ("--filters", f"Name=vpc-id,Values={table.VpcId}")
        vpcs = self._ask(_Vpcs, "vpcs", *within)
        subnets = self._ask(_Subnets, "subnets", *within)
        interfaces = self._ask(_Interfaces, "network-interfaces", *within)
        try:
            return _table(table, vpcs, subnets, interfaces)
        except ValueError as error:
            raise Stop(f"network {self._id}: aws's answer cannot be read: {error}") from None

    def _ask(self, shape: type[_T], what: str, *flags: str) -> _T:
        return self._calls.ask(shape, "ec2", f"describe-{what}", *flags, "--output", "json")

    def add(self, table: Table, route: TableRoute) -> None:
        """Add a route."""
        self._calls.run(*_put("create-route", table, route))

    def remove(self, table: Table, route: TableRoute) -> None:
        """Delete a route."""
        self._calls.run(*_delete(table, route))

    def replace(self, table: Table, old: TableRoute, new: TableRoute) -> None:
        """Lead a destination to another machine, in one call."""
        self._calls.run(*_put("replace-route", table, new))

    def check_sources(self, member: Member, on: bool) -> None:
        """Switch the source/destination check of an interface on or off."""
        self._calls.run(*_check(member, on))

    def by_hand(self, table: Table, take: Sequence[TableRoute], put: TableRoute) -> tuple[str, ...]:
        """The commands with which a person adds a route, and deletes those in its way."""
        there = put.destination in table.by_destination
        words = [_put("replace-route" if there else "create-route", table, put)]
        words += [_delete(table, route) for route in take if route.destination != put.destination]
        return tuple(shlex.join(("aws", *line)) for line in words)

    def unchecked_by_hand(self, member: Member) -> tuple[str, ...]:
        """The commands with which a person has a member send packets with addresses of pods."""
        return (shlex.join(("aws", *_check(member, on=False))),)


def _put(command: str, table: Table, route: TableRoute) -> tuple[str, ...]:
    if route.gateway is None or route.gateway not in table.by_address:
        raise Stop(f"network {table.id}: no interface has the address of {route}")
    interface = table.by_address[route.gateway].id
    return (*_at(command, table, route), "--network-interface-id", interface)


def _delete(table: Table, route: TableRoute) -> tuple[str, ...]:
    return _at("delete-route", table, route)


def _at(command: str, table: Table, route: TableRoute) -> tuple[str, ...]:
    destination = ("--destination-cidr-block", str(route.destination))
    return ("ec2", command, "--route-table-id", table.id, *destination)


def _check(member: Member, on: bool) -> tuple[str, ...]:
    flag = "--source-dest-check" if on else "--no-source-dest-check"
    return ("ec2", "modify-network-interface-attribute", "--network-interface-id", member.id, flag)


def _table(table: _RouteTable, vpcs: _Vpcs, subnets: _Subnets, interfaces: _Interfaces) -> Table:
    members = tuple(_members(interfaces))
    by_id = {member.id: member for member in reversed(members)}  # by the first address of each
    return Table(
        id=table.RouteTableId,
        ranges=tuple(
            network(block.CidrBlock)
            for vpc in vpcs.Vpcs
            for block in (vpc.CidrBlockAssociationSet or [_Block(CidrBlock=vpc.CidrBlock)])
            if block.CidrBlockState.State == "associated"
        ),
        subnets=tuple(network(subnet.CidrBlock) for subnet in subnets.Subnets),
        gateway=None,
        routes=tuple(
            _route(route, route.DestinationCidrBlock, by_id)
            for route in table.Routes
            if route.DestinationCidrBlock
        ),
        members=members,
        limit=LIMIT,
    )


def _members(interfaces: _Interfaces) -> Iterator[Member]:
    for one in interfaces.NetworkInterfaces:
        name = (one.Attachment and one.Attachment.InstanceId) or one.NetworkInterfaceId
        for private in one.PrivateIpAddresses:
            own = address(private.PrivateIpAddress)
            yield Member(own, word(one.NetworkInterfaceId), word(name), one.SourceDestCheck)


def _route(route: _Route, destination: str, by_id: Mapping[str, Member]) -> TableRoute:
    member = by_id.get(route.NetworkInterfaceId or "")
    targets = (
        route.NetworkInterfaceId,
        route.GatewayId,
        route.NatGatewayId,
        route.TransitGatewayId,
        route.VpcPeeringConnectionId,
    )
    return TableRoute(
        network(destination),
        member.address if member else None,
        "" if member else word(next(filter(None, targets), "unknown")),
        dead=route.State == "blackhole",
    )
