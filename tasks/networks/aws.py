"""AWS's route tables, by aws (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/).

A VPC delivers a packet by the route table of the sender's subnet, so machines need no route. It
drops packets with the address of a pod unless the interface's source/destination check is off. A
route is known by its destination; it leads to a network interface of a machine.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tasks.common.errors import Stop
from tasks.common.provider_cli import Answer
from tasks.common.values import address, network, word

from .calls import Calls, Program
from .model import Member, Table, TableRoute

LIMIT = 50  # routes of one table, unless AWS has raised the quota

AWS = Program(
    name="aws",
    key="AWS_SECRET_ACCESS_KEY",
    missing="apt-get install awscli",
    busy=re.compile(r"\((RequestLimitExceeded|Throttling|Unavailable|InternalError|Server\.)"),
    troubles=(
        ("locate credentials", "run `aws configure`"),
        ("must specify a region", "run `aws configure`, or set AWS_DEFAULT_REGION"),
        (r"\((AuthFailure|InvalidClientTokenId)\)", "the key is wrong, or was deleted"),
        (r"\((ExpiredToken|RequestExpired)\)", "log in anew: what you logged in with has expired"),
        (
            r"\(UnauthorizedOperation\)",
            "the key lacks this permission; docs/networks.md lists those that are needed",
        ),
        (
            r"\(InvalidRouteTableI[Dd]\.",
            "`aws ec2 describe-route-tables` shows those of this region; correct name in [network]",
        ),
        (r"\(InvalidNetworkInterfaceI[Dd]\.", "that machine's interface is gone"),
        (r"\(RouteAlreadyExists\)", "another route has this destination"),
        (r"\(RouteLimitExceeded\)", "the table is full: ask AWS for a higher quota"),
        (r"\(RequestLimitExceeded\)|\(Throttling", "too many requests: wait some minutes"),
        (
            "connect to the endpoint URL|[Cc]onnection was closed|timeout on endpoint",
            "the API cannot be reached from here",
        ),
        ("Unable to parse response", "the API answers what is none: a proxy may be between"),
        ("Unknown options|Invalid choice|invalid choice", "this aws is too old"),
    ),
)


class _Route(Answer):
    DestinationCidrBlock: str = ""  # empty for IPv6 and prefix lists
    NetworkInterfaceId: str = ""
    GatewayId: str = ""
    NatGatewayId: str = ""
    TransitGatewayId: str = ""
    VpcPeeringConnectionId: str = ""
    State: str = "active"


class _Association(Answer):
    Main: bool = False
    SubnetId: str = ""


class _Table(Answer):
    RouteTableId: str
    VpcId: str
    Routes: list[_Route]
    Associations: tuple[_Association, ...] = ()

    @property
    def subnets(self) -> set[str]:
        """The subnets that are associated with the table."""
        return {one.SubnetId for one in self.Associations if one.SubnetId}


class _Tables(Answer):
    RouteTables: list[_Table]


class _Address(Answer):
    PrivateIpAddress: str


class _Attachment(Answer):
    InstanceId: str = ""


class _Interface(Answer):
    NetworkInterfaceId: str
    SubnetId: str = ""
    PrivateIpAddresses: list[_Address]
    SourceDestCheck: bool = True
    Attachment: _Attachment | None = None


class _Interfaces(Answer):
    NetworkInterfaces: list[_Interface]


class Aws:
    """One route table of a VPC."""

    atomic = True  # ReplaceRoute

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def read(self) -> Table:
        """The table and the interfaces of its VPC: two commands; the second asks page by page.

        A third one, if it is the main table: which subnets use others.
        """
        tables = self._calls.ask(
            _Tables, *_ec2("describe-route-tables", "--route-table-ids"), self._name
        )
        try:
            (found,) = tables.RouteTables
            vpc = f"Name=vpc-id,Values={word(found.VpcId)}"
            interfaces = self._calls.ask(
                _Interfaces, *_ec2("describe-network-interfaces", "--filters"), vpc
            )
            elsewhere: set[str] | None = None
            if any(one.Main for one in found.Associations):
                every = self._calls.ask(_Tables, *_ec2("describe-route-tables", "--filters"), vpc)
                others = (t for t in every.RouteTables if t.RouteTableId != found.RouteTableId)
                elsewhere = {subnet for table in others for subnet in table.subnets}
            return _table(self._name, found, interfaces, elsewhere)
        except ValueError as error:
            raise Stop(f"network {self._name}: aws's answer cannot be read: {error}") from None

    def add(self, table: Table, route: TableRoute) -> None:
        """Add a route."""
        self._calls.run(*_ec2("create-route"), *self._flags(table, route))

    def remove(self, table: Table, route: TableRoute) -> None:
        """Delete a route."""
        self._calls.run(*_ec2("delete-route"), *self._which(route))

    def replace(self, table: Table, old: TableRoute, new: TableRoute) -> None:
        """Have a route lead elsewhere; the API does it in one step."""
        self._calls.run(*_ec2("replace-route"), *self._flags(table, new))

    def by_hand(self, table: Table, take: Sequence[TableRoute], put: TableRoute) -> tuple[str, ...]:
        """The commands with which a person adds a route, and first deletes those in its way."""
        others = [route for route in take if route.destination != put.destination]
        verb = "create-route" if len(others) == len(take) else "replace-route"
        lines = [("aws", "ec2", "delete-route", *self._which(route)) for route in others]
        lines.append(("aws", "ec2", verb, *self._flags(table, put)))
        return tuple(map(shlex.join, lines))

    def check_sources(self, member: Member, on: bool) -> None:
        """Switch the source/destination check of an interface on or off."""
        self._calls.run(*_ec2(*_check(member, on)))

    def unchecked_by_hand(self, member: Member) -> tuple[str, ...]:
        """The command with which a person switches a member's check off."""
        return (shlex.join(("aws", "ec2", *_check(member, on=False))),)

    def _which(self, route: TableRoute) -> tuple[str, ...]:
        destination = str(route.destination)
        return "--route-table-id", self._name, "--destination-cidr-block", destination

    def _flags(self, table: Table, route: TableRoute) -> tuple[str, ...]:
        member = table.by_address.get(route.gateway) if route.gateway else None
        return *self._which(route), "--network-interface-id", member.id if member else "none"


def _check(member: Member, on: bool) -> tuple[str, ...]:
    flag = "--source-dest-check" if on else "--no-source-dest-check"
    return "modify-network-interface-attribute", "--network-interface-id", member.id, flag


def _ec2(*words: str) -> tuple[str, ...]:
    return "--output", "json", "ec2", *words


def _table(name: str, found: _Table, interfaces: _Interfaces, elsewhere: set[str] | None) -> Table:
    """`elsewhere`: the subnets of other tables, if this one has all the rest."""
    members = tuple(
        replace(member, led=subnet in found.subnets)
        if elsewhere is None
        else replace(member, led=subnet not in elsewhere)
        for subnet, member in _members(interfaces)
    )
    addresses = {member.id: member.address for member in reversed(members)}
    local = tuple(
        network(route.DestinationCidrBlock)
        for route in found.Routes
        if route.GatewayId == "local" and route.DestinationCidrBlock
    )
    routes = []
    for route in found.Routes:
        if route.DestinationCidrBlock and route.GatewayId != "local":
            gateway = addresses.get(route.NetworkInterfaceId)
            target = next(filter(None, _targets(route)), "")
            dead = route.State == "blackhole"
            routes.append(
                TableRoute(
                    network(route.DestinationCidrBlock),
                    gateway,
                    "" if gateway else word(target or "elsewhere"),
                    dead,
                )
            )
    return Table(
        id=name,
        ranges=local,
        subnets=local,
        gateway=None,
        routes=tuple(routes),
        members=members,
        limit=LIMIT,
    )


def _targets(route: _Route) -> Iterator[str]:
    yield route.NetworkInterfaceId
    yield route.GatewayId
    yield route.NatGatewayId
    yield route.TransitGatewayId
    yield route.VpcPeeringConnectionId


def _members(interfaces: _Interfaces) -> Iterator[tuple[str, Member]]:
    """The addresses of machines with their subnets, the first address of an interface first."""
    for one in interfaces.NetworkInterfaces:
        if one.Attachment and one.Attachment.InstanceId:
            for own in one.PrivateIpAddresses:
                member = Member(
                    address(own.PrivateIpAddress),
                    word(one.NetworkInterfaceId),
                    word(one.Attachment.InstanceId),
                    one.SourceDestCheck,
                )
                yield one.SubnetId, member
