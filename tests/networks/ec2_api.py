"""A stand-in for Amazon EC2's API, for the real aws: a VPC, its route tables and instances.

It answers the query protocol (POST with Action=…, XML back) as the API reference shows it. Its
refusals have the codes and texts of the API's error list. It runs on 127.0.0.1.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

Reply = tuple[int, str]
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


def error(status: int, code: str, message: str) -> Reply:
    """A refusal, as the API words it."""
    text = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    return status, f"<Response><Errors><Error>{text}</Error></Errors></Response>"


class Ec2Api:
    """The main route table `rtb-1` of a VPC. `routes`: interfaces or gateways by destination.

    Each third number of an address is a subnet. `tables`: those that use another table.
    """

    def __init__(self, machines: dict[str, str], vpc: str) -> None:
        self.vpc = vpc
        self.machines = dict(machines)  # address by network interface
        self.unchecked: set[str] = set()  # interfaces without a source/destination check
        self.routes: dict[str, str] = {}
        self.tables: dict[str, str] = {}  # by subnet; of other tables only this is known
        self.asked: list[str] = []
        self.fault: Callable[[str], Reply | None] = lambda _action: None
        self.limit = 50

    def answer(self, query: dict[str, str], page: int) -> Reply:
        """The answer to one request. `page`: how many interfaces go into one answer."""
        action = query["Action"]
        self.asked.append(action)
        refused = self.fault(action)
        if refused:
            return refused
        table = query.get("RouteTableId") or query.get("RouteTableId.1") or "rtb-1"
        if table != "rtb-1":
            text = f"The routeTable ID '{table}' does not exist"
            return error(400, "InvalidRouteTableID.NotFound", text)
        match action:
            case "DescribeInstances" | "DescribeRouteTables":
                tables = self._tables("RouteTableId.1" in query)
                return _said(action, tables if "Tables" in action else self._instances())
            case "DescribeNetworkInterfaces":
                return _said(action, self._interfaces(int(query.get("NextToken", "0")), page))
            case "ModifyNetworkInterfaceAttribute":
                interface = {query["NetworkInterfaceId"]}
                checked = query["SourceDestCheck.Value"] == "true"
                self.unchecked = (
                    self.unchecked - interface if checked else self.unchecked | interface
                )
                return _said(action, "<return>true</return>")
        return self._change(action, query["DestinationCidrBlock"], query)

    def _change(self, action: str, destination: str, query: dict[str, str]) -> Reply:
        there = destination in self.routes
        if action == "CreateRoute" and there:
            text = f"The route identified by {destination} already exists."
            return error(400, "RouteAlreadyExists", text)
        if action == "CreateRoute" and len(self.routes) >= self.limit:
            return error(
                400, "RouteLimitExceeded", "The maximum number of routes has been reached."
            )
        if action in ("ReplaceRoute", "DeleteRoute") and not there:
            return error(400, "InvalidRoute.NotFound", f"no route with destination {destination}")
        if action == "DeleteRoute":
            del self.routes[destination]
            return _said(action, "<return>true</return>")
        interface = query["NetworkInterfaceId"]
        if interface not in self.machines:
            text = f"The networkInterface ID '{interface}' does not exist"
            return error(400, "InvalidNetworkInterfaceID.NotFound", text)
        self.routes[destination] = interface
        return _said(action, "<return>true</return>")

    def _instances(self) -> str:
        items = "".join(
            f"<item><instanceId>{name.replace('eni', 'i')}</instanceId>"
            f"<instanceState><name>running</name></instanceState>"
            f"<ipAddress>203.0.113.{10 + number}</ipAddress>"
            f"<tagSet><item><key>Name</key><value>worker-{number}</value></item></tagSet>"
            f"<networkInterfaceSet><item><privateIpAddress>{address}</privateIpAddress>"
            f"<subnetId>{_subnet(address)}</subnetId><vpcId>vpc-1</vpcId></item>"
            "</networkInterfaceSet></item>"
            for number, (name, address) in enumerate(self.machines.items())
        )
        instances = f"<item><instancesSet>{items}</instancesSet></item>"
        return f"<reservationSet>{instances}</reservationSet>"

    def _tables(self, alone: bool) -> str:
        """The table, and all others unless it is to be shown `alone`."""
        others = "".join(
            f"<item><routeTableId>{table}</routeTableId><vpcId>vpc-1</vpcId><routeSet/>"
            f"<associationSet><item><subnetId>{subnet}</subnetId><main>false</main></item>"
            "</associationSet></item>"
            for subnet, table in self.tables.items()
        )
        return f"<routeTableSet>{self._table()}{'' if alone else others}</routeTableSet>"

    def _table(self) -> str:
        local = _route(self.vpc, "gatewayId", "local", "active")
        routes = "".join(
            _route(
                destination,
                "networkInterfaceId" if target.startswith("eni-") else "gatewayId",
                target,
                "blackhole" if target.startswith("eni-") and not self._has(target) else "active",
            )
            for destination, target in self.routes.items()
        )
        main = "<associationSet><item><main>true</main></item></associationSet>"
        whole = f"<routeTableId>rtb-1</routeTableId><vpcId>vpc-1</vpcId>{main}"
        return f"<item>{whole}<routeSet>{local}{routes}</routeSet></item>"

    def _has(self, interface: str) -> bool:
        return interface in self.machines

    def _interfaces(self, start: int, page: int) -> str:
        chosen = list(self.machines.items())[start : start + page]
        items = "".join(
            f"<item><networkInterfaceId>{name}</networkInterfaceId>"
            f"<subnetId>{_subnet(address)}</subnetId>"
            f"<sourceDestCheck>{str(name not in self.unchecked).lower()}</sourceDestCheck>"
            f"<attachment><instanceId>{name.replace('eni', 'i')}</instanceId></attachment>"
            f"<privateIpAddressesSet><item><privateIpAddress>{address}</privateIpAddress></item>"
            "</privateIpAddressesSet></item>"
            for name, address in chosen
        )
        more = start + page
        token = f"<nextToken>{more}</nextToken>" if more < len(self.machines) else ""
        return f"<networkInterfaceSet>{items}</networkInterfaceSet>{token}"


def _subnet(address: str) -> str:
    return f"subnet-{address.split('.')[2]}"


def _route(destination: str, kind: str, target: str, state: str) -> str:
    fields = f"<destinationCidrBlock>{destination}</destinationCidrBlock><{kind}>{target}</{kind}>"
    return f"<item>{fields}<state>{state}</state></item>"


def _said(action: str, fields: str) -> Reply:
    return 200, f'<{action}Response xmlns="{NAMESPACE}">{fields}</{action}Response>'


@contextmanager
def serving(api: Ec2Api, programs: Path, page: int = 1000) -> Iterator[dict[str, str]]:
    """Serve an API while the block runs. Gives the environment that aws wants.

    In `programs` it puts an aws that finds the API: only later versions than Debian 12's look for
    its URL in the environment. That directory must be the first one of PATH.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # its base class wants this name
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, text = api.answer(dict(parse_qsl(body.decode())), page)
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
                super().handle()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    program = programs / "aws"
    url = f"http://127.0.0.1:{server.server_port}"
    program.write_text(f'#!/bin/sh\nPATH=${{PATH#*:}} exec aws --endpoint-url {url} "$@"\n')
    program.chmod(0o755)
    try:
        yield {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "fa1rly-secret",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
