"""Completing the cluster with what only its machines know; where they disagree. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from tasks.common.text import first, listed
from tasks.common.values import Address, Interface, Network, host, within
from tasks.inventory.checks import overlaps
from tasks.inventory.model import Cluster, Machine
from tasks.persistence.backends import Way, ways_in

from .model import Facts

MOST = 10  # values, or mistakes of one machine, past which they are counted


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
    mistakes += [
        f"  {name}: {line}"
        for name, lines in _usurped(cluster, machines, facts).items()
        for line in lines
    ]
    return replace(cluster, machines=tuple(machines)), mistakes


def usurpers(cluster: Cluster, facts: Mapping[str, Facts]) -> list[str]:
    """The workers that name as their own a pod CIDR that may be an absent worker's."""
    if not _unheard(cluster, facts):
        return []
    return list(_usurped(cluster, complete(cluster, facts)[0].machines, facts))


def _unheard(cluster: Cluster, facts: Mapping[str, Facts]) -> list[str]:
    """The workers whose pod CIDR neither hosts.toml says nor they themselves."""
    return [w.name for w in cluster.workers if w.name not in facts and not w.pod_cidrs]


def _usurped(
    cluster: Cluster, machines: Collection[Machine], facts: Mapping[str, Facts]
) -> dict[str, list[str]]:
    """Workers that name as their own what others have routes to by no machine that was asked.

    `machines` are the completed ones. An absent worker cannot speak for itself, where hosts.toml
    does not say its pod CIDR either: the routes that lead to it do.
    """
    absent = _unheard(cluster, facts)
    unsaid = {w.name for w in cluster.workers if not w.pod_cidrs}
    claims = [
        (m.name, cidr)
        for m in machines
        if m.name in unsaid and m.internal_ips
        for cidr in m.pod_cidrs
    ]
    if not (absent and claims):
        return {}
    here = {ip for m in machines if m.name in facts for ip in m.internal_ips}
    ways: dict[Way, list[str]] = {}
    for name, found in facts.items():
        for way in _ways(found):
            if way[1] not in here:
                ways.setdefault(way, []).append(name)
    usurped: dict[str, list[str]] = {}
    for name, cidr in claims:
        usurped.setdefault(name, []).extend(
            f"names pod CIDR {cidr} as its own, but {listed(where)} routes {prefix} via {via},"
            f" which may be {listed(absent)}, not asked: write pod_cidr in hosts.toml"
            for (prefix, via), where in ways.items()
            if within(prefix, (cidr,)) or within(cidr, (prefix,))
        )
    return {name: lines for name, lines in usurped.items() if lines}


def _ways(facts: Facts) -> set[Way]:
    """Where a machine's routes of ours lead, and led: those there, those lost, those in files."""
    routes = {id(r): r for r in (*facts.owned, *facts.kept)}.values()  # a line is read once
    held = {(r.prefix, hop.via) for r in routes for hop in r.hops if hop.via is not None}
    return held | ways_in(facts.files)


def _pod_cidrs(machine: Machine, facts: Facts) -> tuple[tuple[Network, ...], list[str]]:
    """A worker's pod CIDRs, by hosts.toml, else by the first place on it that names one."""
    named = [("hosts.toml", cidr) for cidr in machine.pod_cidrs] or claimed(facts)
    if not named:
        return (), [
            "pod_cidr is not in hosts.toml, and neither kubelet nor a CNI config on it names one"
        ]
    wrong = [
        f"pod CIDR is {mine} in {source}, but {network} in {place}"
        for source, mine in named
        for place, network in contradictions(facts, mine)
    ]
    return tuple(cidr for _, cidr in named), first(wrong, MOST)


def claimed(facts: Facts) -> list[tuple[str, Network]]:
    """A machine's pod CIDR of each family by the first place on it that names one."""
    by_family: dict[int, tuple[str, Network]] = {}
    for claim in facts.claims:
        for network in claim.networks:
            by_family.setdefault(network.version, (claim.place, network))
    return list(by_family.values())


def contradictions(facts: Facts, mine: Network) -> list[tuple[str, Network]]:
    """The places on a machine that name another pod CIDR of the family, not one inside this."""
    claims = {(claim.place, network) for claim in facts.claims for network in claim.networks}
    return [
        (place, network)
        for place, network in sorted(claims, key=str)
        if network.version == mine.version and not within(network, (mine,))
    ]


def _internal_ips(
    cluster: Cluster, machine: Machine, facts: Facts, pod_cidrs: tuple[Network, ...]
) -> tuple[tuple[Address, ...], list[str]]:
    """A worker's internal IPs, one for each family of its pod CIDRs."""
    here = [interface.ip for _, interface in facts.addresses]
    if machine.internal_ips:
        own = _listed(i.ip for _, i in own_addresses(cluster, facts, {facts.pod_bridge}))
        return machine.internal_ips, [
            f"internal_ip {ip} is not an address of it (it has {own})"
            for ip in machine.internal_ips
            if ip not in here
        ]
    chosen: list[Address] = []
    wrong = []
    for family in sorted({n.version for n in pod_cidrs}):
        ranges = [n for n in cluster.node_networks if n.version == family]
        # With the range known it may well be on a bridge of its own, such as vmbr0.
        pods = {facts.pod_bridge} if ranges else set(facts.bridges)
        candidates = [i.ip for _, i in own_addresses(cluster, facts, pods) if i.version == family]
        if ranges:
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


def own_addresses(
    cluster: Cluster, facts: Facts, pods: Collection[str]
) -> list[tuple[str, Interface]]:
    """A node's own addresses by device: not on its pods' links, not loopback or link-local.

    Nor those of services, which kube-proxy in IPVS mode gives every node on a link of its own.
    """
    others = {*pods, "kube-ipvs0"}
    return [
        (dev, i)
        for dev, i in facts.addresses
        if dev not in others
        and not (i.is_loopback or i.is_link_local or within(host(i.ip), cluster.pod_networks))
    ]


def _listed(values: Iterable[object]) -> str:
    return listed(map(str, values), MOST)


def _shared(machines: Collection[Machine]) -> Iterator[str]:
    """Internal IPs and pod CIDRs that two of the completed workers have in common."""
    ips = [(host(ip), m.name) for m in machines for ip in m.internal_ips]
    for (ip, one), (_, other) in overlaps(ips):
        yield f"{one} and {other} have the same internal IP {ip.network_address}"
    pod_cidrs = [(cidr, m.name) for m in machines for cidr in m.pod_cidrs]
    for (wide, one), (narrow, other) in overlaps(pod_cidrs):
        yield f"pod CIDRs overlap: {wide} of {one} and {narrow} of {other}"
