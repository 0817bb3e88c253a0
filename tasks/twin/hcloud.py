"""The stand-in for hcloud in a rehearsal: it shows and changes the table of the twin's router.

What it prints, and its exit status, are those of hcloud-cli 1.30.3, for the commands that it knows.
The rules for routes are those of the API (https://docs.hetzner.cloud/reference/cloud#networks, the
action add_route). Unlike the real one it needs no key, and changes take no time.

It runs as `python -m tasks.twin.hcloud HOME WORD...`; HOME is the directory of the twin's files.
Its table holds the API's network object, and the server objects.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.common import values
from tasks.common.values import Address, Network
from tasks.networks.model import overlap

from .stand_in import Leading, Refused, Table, run

if TYPE_CHECKING:
    from .design import Spec

PROGRAM = "hcloud"
LIMIT = 100  # routes of a network
PRIVATE = tuple(map(values.network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
EVERYWHERE = values.network("0.0.0.0/0")
METADATA = values.address("172.31.1.1")  # the gateway of every server's public link
OVERLAPS = (
    "network route destination overlaps with another subnetwork or network route (invalid_input)"
)
BOTH = ("destination", "gateway")  # the flags of the commands that change the table


def table_of(spec: "Spec") -> Table:
    """The network and the servers of a twin as the API shows them, before there is any route."""
    router = spec.router
    assert router is not None
    created = "2026-01-01T00:00:00+00:00"
    numbered = list(enumerate(spec.hosts, 1))
    network = {
        "id": 4711,
        "name": router.name,
        "created": created,
        "ip_range": router.range,
        "subnets": [
            {
                "type": "cloud",
                "ip_range": subnet,
                "network_zone": "eu-central",
                "gateway": router.address,
            }
            for subnet in router.subnets
        ],
        "routes": [],
        "servers": [number for number, _ in numbered],
        "load_balancers": [],
        "protection": {"delete": False},
        "labels": {},
        "expose_routes_to_vswitch": False,
    }
    servers = [
        {
            "id": number,
            "name": host.name,
            "status": "running",
            "created": created,
            "public_net": {"ipv4": {"ip": host.address}, "ipv6": None, "floating_ips": []},
            "private_net": [
                {"network": 4711, "ip": ip, "alias_ips": [], "mac_address": ""}
                for ip in host.internal_ips
                if ":" not in ip
            ],
            "labels": {},
        }
        for number, host in numbered
    ]
    return {"network": network, "servers": servers}


def answer(table: Table, words: Sequence[str]) -> str:
    """What a command prints. It may change the table. Raises Refused."""
    try:
        return _answer(table, words)
    except Refused as refused:
        raise Refused(f"hcloud: {refused}") from None


def _answer(table: Table, words: Sequence[str]) -> str:
    plain, flags = _parsed(words)
    network = table["network"]
    as_json = flags.get("output") == "json"
    match plain:
        case ["network", "list"]:
            return _as_json([network]) if as_json else _listed(network)
        case ["network", "describe", name] if as_json:
            return _as_json(_named(name, network))
        case ["network", "add-route", name]:
            route = _route(flags)
            _check(route, _named(name, network), table["servers"])
            network["routes"].append(route)
            return f"Route added to network {network['id']}"
        case ["network", "remove-route", name]:
            route = _route(flags)
            if route not in _named(name, network)["routes"]:
                raise Refused("network route not found (not_found)")
            network["routes"].remove(route)
            return f"Route removed from network {network['id']}"
        case ["server", "list"] if as_json:
            return _as_json(table["servers"])
        case ["version"]:
            return "hcloud 1.30.3, a stand-in for rehearsals"
    raise Refused(f"the stand-in for rehearsals cannot: {' '.join(words)}")


def _parsed(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words that are no flags, and the flags with their values."""
    plain, flags = [], {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            plain.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals and not left:
            raise Refused(f"flag needs an argument: {word}")
        flags["output" if name == "o" else name] = value if equals else left.pop(0)
    return plain, flags


def _named(name: str, network: Table) -> Table:
    if name not in (network["name"], str(network["id"])):
        raise Refused(f"network not found: {name}")
    return network


def _route(flags: Mapping[str, str]) -> dict[str, str]:
    """The route that the flags name, as the API shows it."""
    missing = [f'"{name}"' for name in BOTH if name not in flags]
    if missing:
        raise Refused(f"required flag(s) {', '.join(missing)} not set")
    destination, gateway = (flags[name] for name in BOTH)
    try:
        if "/" not in destination:
            raise ValueError
        network = values.network(destination)
    except ValueError:
        said = f'invalid argument "{destination}" for "--destination" flag'
        raise Refused(f"{said}: invalid CIDR address: {destination}") from None
    try:
        address = values.address(gateway)
    except ValueError:
        said = f'invalid argument "{gateway}" for "--gateway" flag'
        raise Refused(f'{said}: failed to parse IP: "{gateway}"') from None
    return {"destination": str(network), "gateway": str(address)}


def _check(route: Mapping[str, str], network: Table, servers: Sequence[Table]) -> None:
    """Refuse a new route as the API does."""
    destination = values.network(route["destination"])
    routes = [values.network(other["destination"]) for other in network["routes"]]
    subnets = [values.network(subnet["ip_range"]) for subnet in network["subnets"]]
    first = values.network(network["ip_range"]).network_address + 1
    gateway = values.address(route["gateway"])
    if destination.version != 4 or not _routable(destination):
        raise Refused("invalid destination (invalid_input)")
    if gateway in (first, METADATA) or gateway not in _attached(servers):
        raise Refused("invalid gateway (invalid_input)")
    specific = [values.host(METADATA), *subnets, *(r for r in routes if r != EVERYWHERE)]
    taken = destination != EVERYWHERE and any(overlap(destination, one) for one in specific)
    if taken or destination in routes:
        raise Refused(OVERLAPS)
    if len(network["routes"]) >= LIMIT:
        raise Refused("network route limit reached (resource_limit_exceeded)")


def _routable(destination: Network) -> bool:
    return destination == EVERYWHERE or values.within(destination, PRIVATE)


def _attached(servers: Sequence[Table]) -> set[Address]:
    """The addresses of the servers in the network."""
    return {values.address(link["ip"]) for server in servers for link in server["private_net"]}


def leading(table: Table) -> Leading:
    """How the router leads packets: by the routes to servers of the network."""
    there = set(map(str, _attached(table["servers"])))
    routes = ((route["destination"], route["gateway"]) for route in table["network"]["routes"])
    return Leading(frozenset((to, via) for to, via in routes if via in there))


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _listed(network: Table) -> str:
    """The network as hcloud's table shows it."""
    row = {
        "ID": str(network["id"]),
        "NAME": network["name"],
        "IP RANGE": network["ip_range"],
        "SERVERS": f"{len(network['servers'])} server{'s' if len(network['servers']) != 1 else ''}",
    }
    cells = [(title.ljust(len(text)), text.ljust(len(title))) for title, text in row.items()]
    return "\n".join("   ".join(line).rstrip() for line in zip(*cells, strict=True))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:], answer, leading, status=1))
