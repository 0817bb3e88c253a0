"""What providers' programs print of their tables, and what this tool remembers, to start from."""

import json

from tasks.common.errors import Stop
from tasks.diagnosis.model import Routed
from tasks.networks.aws import AWS, Aws
from tasks.networks.calls import Calls, Program
from tasks.networks.hetzner import HCLOUD, Hetzner
from tasks.networks.provider import Provider
from tasks.networks.state import MOST_ROUTES

USED = {"RouteTableId": "rtb-1", "VpcId": "vpc-1", "Associations": [{"Main": True}]}
_LED = {"DestinationCidrBlock": "10.200.0.0/24", "NetworkInterfaceId": "eni-0"}
_LOCAL = {"DestinationCidrBlock": "10.240.0.0/16", "GatewayId": "local"}
_ENI = {
    "NetworkInterfaceId": "eni-0",
    "SubnetId": "subnet-1",
    "PrivateIpAddresses": [{"PrivateIpAddress": "10.240.0.6"}],
    "SourceDestCheck": True,
    "Attachment": {"InstanceId": "i-0"},
}
_NETWORK = {
    "id": 7,
    "ip_range": "10.240.0.0/16",
    "subnets": [{"ip_range": "10.240.0.0/24"}],
    "routes": [
        {"destination": "10.200.0.0/24", "gateway": "10.240.0.6"},
        {"destination": "10.200.2.0/24", "gateway": "10.240.0.99"},
    ],
}
_SERVERS = [
    {"id": n, "name": f"worker-{n}", "private_net": [{"network": 7, "ip": f"10.240.0.{6 + n}"}]}
    for n in range(3)
]
TABLES = {
    "hetzner": f"{json.dumps(_NETWORK)}\n{json.dumps(_SERVERS)}",
    "aws": "\n".join(
        map(
            json.dumps,
            (
                {"RouteTables": [{**USED, "Routes": [_LOCAL, _LED]}]},
                {"NetworkInterfaces": [_ENI]},
                {"RouteTables": [{**USED, "Routes": []}]},
            ),
        )
    ),
}
_PAIRS = [["10.200.0.0/24", "10.240.0.6"], ["10.200.1.0/24", "10.240.0.7"]]
_RUN = "20261129T101500.000001"
MEMORY = json.dumps(
    {
        "version": 1,
        "table": "7",
        "ours": _PAIRS,
        "unfinished": _PAIRS[:1],
        "displaced": [["10.200.1.0/24", "10.240.0.6"]],
        "unchecked": ["1"],
        "run": _RUN,
        "runs": [
            {
                "run": _RUN,
                "seen": [_RUN],
                "puts": _PAIRS,
                "takes": [["10.200.1.0/24", "10.240.0.6"]],
                "owned": [],
                "unchecked": ["1"],
            }
        ],
    }
)


class _Told(Calls):
    """Calls that are answered by one line of a text after the other."""

    def __init__(self, program: Program, text: str) -> None:
        super().__init__(program, "kubernetes")
        self._lines = iter(text.split("\n"))

    def run(self, *_arguments: str) -> bytes:
        return next(self._lines, "").encode("utf-8", "surrogateescape")


def read_table(name: str, text: str) -> Routed:
    """The table that a provider's program prints."""
    told: Provider = (
        Aws(_Told(AWS, text), "rtb-1")
        if name == "aws"
        else Hetzner(_Told(HCLOUD, text), "kubernetes")
    )
    table = told.read()
    if len(table.routes) > MOST_ROUTES:
        raise Stop("too many")
    return Routed("kubernetes", told, table)
