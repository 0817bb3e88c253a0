"""How each provider's network treats static routes to a pod CIDR via another machine. Pure.

Each provider has one entry. `{pods}` in a note stands for pod_networks.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.common.text import first, listed
from tasks.common.values import Address, Network

from .model import Facts

MAX_ADDRESSES = 5  # addresses of one machine that lines are about, past which they are counted


@dataclass(frozen=True)
class Provider:
    """A provider's network.

    `dmi`: patterns for sys_vendor, product_name and chassis_asset_tag in /sys/class/dmi/id, joined
    by blanks. A machine is the provider's where all of them match. They are those of cloud-init's
    ds-identify.
    """

    name: str
    notes: tuple[str, ...]
    dmi: tuple[str, ...]


PROVIDERS: Mapping[str, Provider] = {
    "vultr": Provider(
        "Vultr",
        ("routes via a VPC address work; the MTU in a VPC may be 1450",),
        ("Vultr",),
    ),
    "digitalocean": Provider(
        "DigitalOcean",
        (
            "doubtful: pods stayed silent in its VPC in 2017 with right routes"
            " (cloudnativelabs/kube-router#252); `fab verify` tells",
        ),
        ("DigitalOcean",),
    ),
    "hetzner-cloud": Provider(
        "Hetzner Cloud",
        (
            "its networks are routed: a worker cannot be next hop to another. Name the network"
            " in [network] of hosts.toml, and its table gets the routes too: docs/networks.md",
            "the MTU here is 1450",
        ),
        ("Hetzner", "vServer"),
    ),
    "linode": Provider(
        "Linode",
        ("in a VPC each pod CIDR has to stand in ip_ranges of its machine's interface",),
        ("Linode|Akamai",),
    ),
    "aws": Provider(
        "AWS",
        (
            "works within one subnet, with the source/destination check of each instance off;"
            " else name the route table in [network] of hosts.toml: docs/networks.md",
        ),
        ("Amazon EC2",),
    ),
    "gcp": Provider(
        "Google Cloud",
        ("its machines have a /32 each, and none can be next hop: make VPC routes for {pods}",),
        ("Google Compute Engine",),
    ),
    "openstack": Provider(
        "OpenStack",
        ("allow {pods} on each port (allowed address pairs)",),
        ("OpenStack",),
    ),
    "oracle": Provider(
        "Oracle Cloud",
        ("dropped unless each VNIC skips the source/destination check",),
        (r"OracleCloud\.com",),
    ),
    "virtualbox": Provider(
        "VirtualBox",
        ("works over the second NIC only: the first is NAT, 10.0.2.15 on every machine",),
        ("VirtualBox",),
    ),
}


def provider_of(facts: Facts) -> str:
    """The name in PROVIDERS of a machine's provider; empty where its DMI names none."""
    return next(
        (
            name
            for name, provider in PROVIDERS.items()
            if all(re.search(pattern, facts.maker) for pattern in provider.dmi)
        ),
        "",
    )


def routed(facts: Facts) -> list[str]:
    """Why a machine's network must be routed, a line for each address that shows it.

    Such an address is alone on its link (/32, or /128 in IPv6), and a gateway on that link leads
    to another network.
    """
    reached: dict[tuple[str, int], set[Address]] = defaultdict(set)
    by_default: dict[tuple[str, int], set[Address]] = defaultdict(set)
    for route in facts.routes:
        for hop in route.hops if route.table == "main" else ():
            if hop.via is not None:
                ways = reached if route.prefix.prefixlen else by_default
                ways[hop.dev, route.prefix.version].add(hop.via)
    behind = {way: _listed(gateways) for way, gateways in reached.items()}
    # A public address may be alone on its link anywhere, behind a default route.
    behind_private = {
        way: _listed(reached[way] | by_default[way]) for way in {**reached, **by_default}
    }
    lines = []
    for device, own in facts.addresses:
        if own.network.prefixlen != own.max_prefixlen or own.is_loopback or own.is_link_local:
            continue
        gateways = (behind_private if own.is_private else behind).get((device, own.version))
        if gateways:
            lines.append(
                f"{own} on {device} is alone on its link, behind {gateways}: this network is"
                " routed, no worker can be next hop to another; its provider's own routes lead"
                " to pods"
            )
    return first(lines, MAX_ADDRESSES)


def _listed(gateways: Iterable[Address]) -> str:
    return listed(map(str, sorted(gateways, key=int)))


def notes(providers: Iterable[str], pods: Sequence[Network]) -> list[str]:
    """The notes on these providers' networks, a line each."""
    listed = ", ".join(map(str, pods)) or "the pod networks"
    return [
        f"{PROVIDERS[name].name}: {note.format(pods=listed)}"
        for name in dict.fromkeys(providers)
        if name in PROVIDERS
        for note in PROVIDERS[name].notes
    ]


def machine_notes(facts: Mapping[str, Facts], pods: Sequence[Network]) -> list[str]:
    """The notes on the machines' networks, by their DMI and addresses, a line each."""
    lines = notes(filter(None, map(provider_of, facts.values())), pods)
    return lines + [f"{name}: {why}" for name, found in facts.items() for why in routed(found)]
