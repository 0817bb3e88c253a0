"""Lists AWS's instances with aws, in the region that it uses.

`describe-instances` and `describe-route-tables` print all pages as one object
(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/). A machine's name is its tag Name, else
its instance ID. Each tag becomes two tags: KEY and KEY=VALUE. A subnet uses the route table that is
associated with it, else the main one of its VPC.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from invoke import Context

from tasks.common.provider_cli import Answer, answer_of
from tasks.common.values import shown, word
from tasks.discovery.model import Attached, Found, Request, internal_ips, public_ips
from tasks.inventory.model import ProviderNetwork

GONE = ("shutting-down", "terminated")  # states of instances that are listed for a while

_T = TypeVar("_T")


class _Interface(Answer):
    PrivateIpAddress: str = ""
    SubnetId: str = ""
    VpcId: str = ""


class _State(Answer):
    Name: str = ""


class _Tag(Answer):
    Key: str
    Value: str = ""


class _Instance(Answer):
    InstanceId: str
    PublicIpAddress: str = ""
    State: _State = _State()
    NetworkInterfaces: tuple[_Interface, ...] = ()
    Tags: tuple[_Tag, ...] = ()


class _Reservation(Answer):
    Instances: list[_Instance]


class _Instances(Answer):
    Reservations: list[_Reservation]


class _Association(Answer):
    Main: bool = False
    SubnetId: str = ""


class _Table(Answer):
    RouteTableId: str
    VpcId: str
    Associations: tuple[_Association, ...] = ()


class _Tables(Answer):
    RouteTables: list[_Table]


def machines(request: Request) -> Iterator[Found]:
    """Every instance of the region, unless it is terminated. Raises Stop if aws fails."""
    asked = _ask(request.c, _Instances, "describe-instances")
    instances = [
        instance
        for reservation in asked.Reservations
        for instance in reservation.Instances
        if instance.State.Name not in GONE
    ]
    vpcs = {link.VpcId: None for one in instances for link in one.NetworkInterfaces if link.VpcId}
    tables = _tables(request.c, list(vpcs)) if vpcs else {}
    for instance in instances:
        tags = {tag.Key: tag.Value for tag in instance.Tags}
        links = instance.NetworkInterfaces
        yield Found(
            tags.get("Name") or instance.InstanceId,
            "aws",
            (
                *public_ips("aws", instance.PublicIpAddress),
                *internal_ips("aws", *(link.PrivateIpAddress for link in links)),
            ),
            member=False,
            tags=(*tags, *(f"{key}={value}" for key, value in tags.items())),
            provider="aws",
            networks={
                own.text: Attached(ProviderNetwork("aws", table), table, shown(link.SubnetId))
                for link in links
                if (table := tables.get(link.SubnetId) or tables.get(link.VpcId))
                for own in internal_ips("aws", link.PrivateIpAddress)
            },
        )


def _tables(c: Context, vpcs: list[str]) -> Mapping[str, str]:
    """The route tables of these VPCs, by the subnets and the VPCs that use them."""
    filters = f"Name=vpc-id,Values={','.join(map(word, vpcs))}"
    found = _ask(c, _Tables, "describe-route-tables", "--filters", filters)
    return {
        user: word(table.RouteTableId)
        for table in found.RouteTables
        for one in table.Associations
        if (user := table.VpcId if one.Main else one.SubnetId)
    }


def _ask(c: Context, shape: type[_T], *words: str) -> _T:
    return answer_of(
        c,
        ["aws", "--output", "json", "ec2", *words],
        shape,
        key="AWS_SECRET_ACCESS_KEY",
        missing="apt-get install awscli",
    )
