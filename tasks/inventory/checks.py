"""Mistakes in a hosts.toml that show only when its values are compared with each other."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import product
from typing import TypeVar

from tasks.common import values
from tasks.common.values import Network, within

from .model import Bgp, Cluster, Machine

Mistake = tuple[str, str]  # where: the name of a machine or table; what is wrong, how to mend it
_Owner = TypeVar("_Owner")


def mistakes_between(cluster: Cluster) -> Iterator[Mistake]:
    """Every mistake between values of the cluster.

    Values that did not parse are absent from the cluster, so no mistake is about them.
    """
    yield from _of_networks(cluster)
    yield from _of_addresses(cluster)
    yield from _of_pod_cidrs(cluster)
    yield from _of_bounds(cluster)
    yield from _of_families(cluster)
    yield from _of_provider(cluster)
    if cluster.bgp:
        yield from _of_bgp(cluster, cluster.bgp)


def overlaps(
    owned: Iterable[tuple[Network, _Owner]],
) -> Iterator[tuple[tuple[Network, _Owner], tuple[Network, _Owner]]]:
    """The networks that overlap an earlier one: each as a pair, the widest one first.

    Two CIDRs overlap only where one holds the other. So the networks are sorted by their first
    addresses, the wider first, and each is compared with a single other.
    """
    outer = None
    for item in sorted(
        owned, key=lambda item: (item[0].version, int(item[0].network_address), item[0].prefixlen)
    ):
        if outer and within(item[0], (outer[0],)):
            yield outer, item
        else:
            outer = item


def _of_networks(cluster: Cluster) -> Iterator[Mistake]:
    bounded = [network for network in cluster.pod_networks if network.prefixlen]
    for network in cluster.pod_networks:
        if not network.prefixlen:
            yield "cluster", f"pod_networks: {network} is every address; name those of pods only"
    for (outer, _), (inner, _) in overlaps((network, None) for network in bounded):
        yield "cluster", f"pod_networks: {inner} overlaps {outer}; one entry is enough"
    for nodes in cluster.node_networks:
        for pods in bounded:
            if within(nodes, (pods,)) or within(pods, (nodes,)):
                yield (
                    "cluster",
                    f"node_networks: {nodes} overlaps {pods} of pod_networks; "
                    "no address can be both a node's and a pod's",
                )


def _addresses(machine: Machine) -> Iterator[tuple[str, str]]:
    """A machine's addresses and host names, each with the field that holds it."""
    if machine.public_ip:
        yield "public_ip", machine.public_ip.lower()
    for address in machine.internal_ips:
        yield "internal_ip", str(address)


def _of_addresses(cluster: Cluster) -> Iterator[Mistake]:
    owners: dict[str, tuple[Machine, str]] = {}
    for machine in cluster.machines:
        for field, address in _addresses(machine):
            owner, theirs = owners.setdefault(address, (machine, field))
            if owner is not machine:
                yield machine.name, f"{field}: {address} is the {theirs} of {owner.name} too"


def _of_pod_cidrs(cluster: Cluster) -> Iterator[Mistake]:
    """Pod CIDRs that overlap, and addresses of machines inside a pod CIDR."""
    position = {machine.name: i for i, machine in enumerate(cluster.machines)}
    claims = [
        (cidr, (worker, "pod_cidr")) for worker in cluster.workers for cidr in worker.pod_cidrs
    ]
    for machine in cluster.machines:
        for field, address in _addresses(machine):
            with suppress(ValueError):  # a host name
                claims.append((values.host(values.address(address)), (machine, field)))
    for outer, inner in overlaps(claims):
        (network, (owner, owners_field)), (other, (machine, field)) = outer, inner
        if owners_field != "pod_cidr":
            continue  # the same address twice: _of_addresses reports it
        if field != "pod_cidr":
            address = str(other.network_address)
            yield machine.name, f"{field}: {address} is inside {network}, pod_cidr of {owner.name}"
        elif owner is not machine:  # else two of one family on a worker: _of_families reports it
            if position[owner.name] > position[machine.name]:
                network, owner, other, machine = other, machine, network, owner
            yield (
                machine.name,
                f"pod_cidr: {other} overlaps {network} of {owner.name}; "
                "every worker has a range of its own",
            )


def _of_bounds(cluster: Cluster) -> Iterator[Mistake]:
    families = {network.version for network in cluster.node_networks}
    for machine in cluster.machines:
        for cidr in machine.pod_cidrs:
            if cluster.pod_networks and not within(cidr, cluster.pod_networks):
                yield machine.name, f"pod_cidr: {cidr} is outside pod_networks; correct one"
        for ip in machine.internal_ips:
            if ip.version in families and not within(values.host(ip), cluster.node_networks):
                yield machine.name, f"internal_ip: {ip} is outside node_networks; correct one"


def _of_families(cluster: Cluster) -> Iterator[Mistake]:
    for machine in cluster.machines:
        given = {"internal_ip": machine.internal_ips, "pod_cidr": machine.pod_cidrs}
        for field, version in product(given, (4, 6)):
            same = [str(value) for value in given[field] if value.version == version]
            if len(same) > 1:
                yield machine.name, f"{field}: {', '.join(same)} are all IPv{version}; keep one"
    first = {
        cidr.version: worker.name
        for worker in reversed(cluster.workers)
        for cidr in worker.pod_cidrs
    }
    for worker in cluster.workers:
        for version, name in sorted(first.items()):
            if worker.pod_cidrs and version not in {cidr.version for cidr in worker.pod_cidrs}:
                yield (
                    worker.name,
                    f"pod_cidr: no IPv{version} network, but {name} has one; "
                    "all workers need the same families",
                )
            if worker.internal_ips and not worker.internal_ip(version):
                yield (
                    worker.name,
                    f"internal_ip: no IPv{version} address; add the one that is next hop to "
                    f"its IPv{version} pods",
                )


def _of_bgp(cluster: Cluster, bgp: Bgp) -> Iterator[Mistake]:
    names = {machine.name for machine in cluster.machines}
    for name in bgp.reflectors:
        if name not in names:
            yield "bgp", f"reflectors: no machine has the name {values.quoted(name)}"
    if len(bgp.reflectors) == 1:
        yield (
            "bgp",
            "reflectors: a single one takes all routes with it when it fails; name two or three,"
            " or leave reflectors out",
        )
    if len(set(bgp.reflectors)) < len(bgp.reflectors):
        yield "bgp", "reflectors: a name stands there twice"
    machines = {ip: machine.name for machine in cluster.machines for ip in machine.internal_ips}
    for place, router in enumerate(bgp.routers):
        where = f"bgp.peers[{place}]"
        if within(values.host(router.address), cluster.pod_networks):
            yield where, f"address: {router.address} is inside pod_networks, where only pods are"
        if router.address in machines:
            yield where, f"address: {router.address} is {machines[router.address]}, no router"
        for prefix in router.accept:
            if not prefix.prefixlen:
                yield where, f"accept: {prefix} is the default route, which stays as it is"
            elif any(within(prefix, (n,)) or within(n, (prefix,)) for n in cluster.pod_networks):
                yield (
                    where,
                    f"accept: {prefix} overlaps pod_networks; routes to pods come from machines",
                )


def _of_provider(cluster: Cluster) -> Iterator[Mistake]:
    """What a provider's network cannot do."""
    if cluster.network is None:
        return
    if cluster.bgp:
        yield (
            "network",
            'a provider\'s table cannot learn routes by BGP: routing = "static", or no [network]',
        )
    six = [network for network in cluster.pod_networks if network.version == 6]
    if six:
        yield (
            "network",
            f"only IPv4 pod CIDRs can be routes of a provider's network here, and pod_networks has"
            f" {six[0]}; leave it out",
        )
