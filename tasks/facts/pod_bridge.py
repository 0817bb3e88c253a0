"""Finds the bridge that holds a machine's pods. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from tasks.common.values import Interface, Network, host, within
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route


@dataclass(frozen=True)
class Known:
    """What hosts.toml says about a machine's pods and about all of the cluster."""

    pod_cidrs: tuple[Network, ...] = ()  # the machine's own
    pod_networks: tuple[Network, ...] = ()
    nodes: tuple[Network, ...] = ()  # node_networks, and the internal IPs


def known(cluster: Cluster, name: str) -> Known:
    """What the cluster says about the machine `name`."""
    internal = [host(ip) for machine in cluster.machines for ip in machine.internal_ips]
    own = cluster.machine(name).pod_cidrs
    return Known(own, cluster.pod_networks, (*cluster.node_networks, *internal))


def pod_bridge(
    named: str,
    pod_cidrs: Collection[Network],
    bridges: Collection[str],
    addresses: Iterable[tuple[str, Interface]],
    routes: Sequence[Route],
    of: Known,
) -> str:
    """The bridge of a machine's pods; empty where nothing tells.

    `named`: the one in the CNI config, empty where it has none. `pod_cidrs`: the machine's own.
    The bridges of kubenet (cbr0) and Docker (docker0) are in no CNI config. Their addresses tell:
    inside the machine's pod CIDR, or an older one in pod_networks, which is as large: Docker's own
    172.17.0.0/16 is no pod CIDR where pods have a /24. A bridge that leads to a next hop is not for
    pods, wherever its address is.
    """
    if named in bridges:
        return named
    on_bridges = [(dev, host(i.ip), i.network) for dev, i in addresses if dev in bridges]
    sizes = {(cidr.version, cidr.prefixlen) for cidr in pod_cidrs}
    uplinks = {hop.dev for route in routes for hop in route.hops if hop.via is not None}
    own = (dev for dev, ip, _ in on_bridges if within(ip, pod_cidrs))
    old = (
        dev
        for dev, ip, network in on_bridges
        if dev not in uplinks and within(ip, of.pod_networks) and not within(ip, of.nodes)
        if not sizes or (network.version, network.prefixlen) in sizes
    )
    return next(chain(own, () if named else old), named)
