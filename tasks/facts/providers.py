"""What each provider's network does to a static route to a pod CIDR via another machine.

One entry a provider; to add one, add its entry. `{pods}` in a note stands for pod_networks.
Pure.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.common.text import first, listed
from tasks.common.values import Address, Network

from .model import Facts

MOST = 5  # addresses of one machine that lines are about, past which they are counted


@dataclass(frozen=True)
class Provider:
    """A provider's network.

    `dmi` is what its machines say of their maker, as cloud-init's ds-identify tells them apart:
    each pattern is found in sys_vendor, product_name and chassis_asset_tag below
    /sys/class/dmi/id, joined by blanks.
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
            "its networks are routed: a worker cannot be next hop to another. In its API give"
            " the network a route for each pod CIDR to its server; on the servers a route for"
            " {pods} via the network's gateway",
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
        ("works within one subnet, with the source/destination check of each instance off",),
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
    """The provider a machine is at, by its name in PROVIDERS; empty where it does not say."""
    return next(
        (
            name
            for name, provider in PROVIDERS.items()
            if all(re.search(pattern, facts.maker) for pattern in provider.dmi)
        ),
        "",
    )


def routed(facts: Facts) -> list[str]:
    """Why a machine's network is routed, where one of its own addresses shows that it is.

    Such an address is alone on its link (/32, or /128 in IPv6), and another network is reached
    by a gateway on it.
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
    return first(lines, MOST)


def _listed(gateways: Iterable[Address]) -> str:
    return listed(map(str, sorted(gateways, key=int)))


def notes(providers: Iterable[str], pods: Sequence[Network]) -> list[str]:
    """What to know of some providers' networks, a line each."""
    listed = ", ".join(map(str, pods)) or "the pod networks"
    return [
        f"{PROVIDERS[name].name}: {note.format(pods=listed)}"
        for name in dict.fromkeys(providers)
        if name in PROVIDERS
        for note in PROVIDERS[name].notes
    ]


def machine_notes(facts: Mapping[str, Facts], pods: Sequence[Network]) -> list[str]:
    """What the machines themselves show of their networks, for a plan."""
    lines = notes(filter(None, map(provider_of, facts.values())), pods)
    return lines + [f"{name}: {why}" for name, found in facts.items() for why in routed(found)]
