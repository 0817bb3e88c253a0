"""Completing the cluster with what only its machines know; where they disagree. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_network
from itertools import pairwise

from .cluster import Address, Cluster, Machine, Network, within
from .facts import Facts


def complete(cluster: Cluster, facts: Mapping[str, Facts]) -> tuple[Cluster, list[str]]:
    """The cluster with each worker's pod CIDRs and internal IPs, and where that is not possible.

    What hosts.toml leaves out is taken from the worker; what it says must be so there.
    """
    machines = []
    mistakes: list[str] = []
    for machine in cluster.machines:
        if machine.role == "controller" or machine.name not in facts:
            machines.append(machine)
            continue
        found = facts[machine.name]
        pod_cidrs, wrong = _pod_cidrs(machine, found)
        internal_ips, lacking = _internal_ips(cluster, machine, found, pod_cidrs)
        mistakes += [f"  {machine.name}: {line}" for line in (*wrong, *lacking)]
        machines.append(replace(machine, pod_cidrs=pod_cidrs, internal_ips=internal_ips))
    mistakes += [f"  {line}" for line in _shared(machines)]
    return replace(cluster, machines=tuple(machines)), mistakes


def _pod_cidrs(machine: Machine, facts: Facts) -> tuple[tuple[Network, ...], list[str]]:
    """A worker's pod CIDRs, by hosts.toml, else by the first place on it that names one."""
    claimed = {(place.place, n) for place in facts.claims for n in place.networks}
    taken = machine.pod_cidrs
    if not taken:
        by_family: dict[int, Network] = {}
        for claim in facts.claims:
            for network in claim.networks:
                by_family.setdefault(network.version, network)
        taken = tuple(by_family.values())
    if not taken:
        return (), [
            "pod_cidr is not in hosts.toml, and neither kubelet nor a CNI config on it names one"
        ]
    source = "hosts.toml" if machine.pod_cidrs else facts.claims[0].place
    wrong = []
    for mine in taken:
        others = [(p, n) for p, n in sorted(claimed, key=str) if n.version == mine.version]
        wrong += [
            f"pod CIDR is {mine} in {source}, but {network} in {place}"
            for place, network in others
            if not within(network, (mine,))
        ]
    return taken, wrong


def _internal_ips(
    cluster: Cluster, machine: Machine, facts: Facts, pod_cidrs: tuple[Network, ...]
) -> tuple[tuple[Address, ...], list[str]]:
    """A worker's internal IPs, one for each family of its pod CIDRs."""
    here = [interface.ip for _, interface in facts.addresses]
    if machine.internal_ips:
        own = _listed(_nodes_own(cluster, facts, {facts.pod_bridge}))
        return machine.internal_ips, [
            f"internal_ip {ip} is not an address of it (it has {own})"
            for ip in machine.internal_ips
            if ip not in here
        ]
    chosen: list[Address] = []
    wrong = []
    for family in sorted({n.version for n in pod_cidrs}):
        ranges = [n for n in cluster.node_networks if n.version == family]
        candidates = [
            ip for ip in _nodes_own(cluster, facts, set(facts.bridges)) if ip.version == family
        ]
        if ranges:
            # With the range known it may well be on a bridge of its own, such as vmbr0.
            candidates = _nodes_own(cluster, facts, {facts.pod_bridge})
            candidates = [ip for ip in candidates if any(ip in n for n in ranges)]
        elif len(candidates) > 1:
            candidates = [ip for ip in candidates if ip.is_private] or candidates
        if len(candidates) == 1:
            chosen += candidates
        else:
            where = f" in node_networks {_listed(ranges)}" if ranges else ""
            wrong.append(
                f"it has {_listed(candidates) or 'no IPv' + str(family) + ' address'}{where}:"
                " write its internal_ip in hosts.toml"
            )
    return tuple(chosen), wrong


def _nodes_own(cluster: Cluster, facts: Facts, pods: Collection[str]) -> list[Address]:
    """The addresses that a node has for itself: not on its pods' links, loopback or link-local."""
    return [
        i.ip
        for dev, i in facts.addresses
        if dev not in pods
        and not (i.is_loopback or i.is_link_local or within(ip_network(i.ip), cluster.pod_networks))
    ]


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _shared(machines: list[Machine]) -> list[str]:
    """Pod CIDRs and internal IPs that two workers have, seen once all are known."""
    lines = []
    ips: dict[Address, str] = {}
    for machine in machines:
        for ip in machine.internal_ips:
            if ip in ips:
                lines.append(f"{ips[ip]} and {machine.name} have the same internal IP {ip}")
            ips.setdefault(ip, machine.name)
    spans = sorted(
        (
            (n.version, int(n.network_address), int(n.broadcast_address), m.name, n)
            for m in machines
            for n in m.pod_cidrs
        ),
        key=lambda span: span[:3],
    )
    for one, other in pairwise(spans):
        if one[0] == other[0] and other[1] <= one[2]:
            lines.append(f"pod CIDRs overlap: {one[4]} of {one[3]} and {other[4]} of {other[3]}")
    return lines
