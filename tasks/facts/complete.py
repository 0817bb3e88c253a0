"""Completes the cluster with what only its machines know, and finds contradictions. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from tasks.common import values
from tasks.common.text import first, listed
from tasks.common.values import Address, Interface, Network, host, within
from tasks.inventory.checks import overlaps
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.table import Prefixes
from tasks.persistence.backends import PersistedRoute, persisted_routes

from .model import Facts

# RFC 1918 and RFC 4193. Python's is_private includes more, such as addresses for documentation.
PRIVATE = tuple(map(values.network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
MAX_VALUES = 10  # values, or mistakes of one machine, in a message; the rest is counted

_Own = tuple[str, Interface]  # an address of a node, with its device


def complete(cluster: Cluster, facts: Mapping[str, Facts]) -> tuple[Cluster, list[str]]:
    """The cluster with each worker's pod CIDRs and internal IPs, and a line for each mistake.

    Values that hosts.toml leaves out are taken from the worker. A value that it has must agree with
    the worker.
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
        for name, lines in _doubtful_mistakes(cluster, machines, facts).items()
        for line in lines
    ]
    return replace(cluster, machines=tuple(machines)), mistakes


def doubtful_claims(cluster: Cluster, facts: Mapping[str, Facts]) -> list[str]:
    """The workers that claim a pod CIDR which may belong to a worker that was not asked."""
    if not _unheard(cluster, facts):
        return []
    return list(_doubtful_mistakes(cluster, complete(cluster, facts)[0].machines, facts))


def _unheard(cluster: Cluster, facts: Mapping[str, Facts]) -> list[str]:
    """The workers whose pod CIDR is unknown: they were not asked, and hosts.toml names none."""
    return [w.name for w in cluster.workers if w.name not in facts and not w.pod_cidrs]


def _doubtful_mistakes(
    cluster: Cluster, machines: Collection[Machine], facts: Mapping[str, Facts]
) -> dict[str, list[str]]:
    """The mistakes of workers that claim a pod CIDR which may belong to an absent worker.

    `machines` are the completed ones. Absent workers were not asked, and hosts.toml names no pod
    CIDR of theirs. Only routes on other machines show it: those whose next hop is no machine that
    was asked.
    """
    absent = _unheard(cluster, facts)
    unsaid = {w.name for w in cluster.workers if not w.pod_cidrs}
    claimants: dict[Network, list[str]] = {}
    for m in machines:
        if m.name in unsaid and m.internal_ips:
            for cidr in m.pod_cidrs:
                claimants.setdefault(cidr, []).append(m.name)
    if not (absent and claimants):
        return {}
    here = {ip for m in machines if m.name in facts for ip in m.internal_ips}
    ways: dict[Network, dict[Address, list[str]]] = {}
    for name, found in facts.items():
        for prefix, via in _ways(found):
            if via not in here:
                ways.setdefault(prefix, {}).setdefault(via, []).append(name)
    mistakes: dict[str, list[str]] = {}
    for cidr, prefix in _overlaps(claimants, ways):
        for name in claimants[cidr]:
            mistakes.setdefault(name, []).extend(
                f"names pod CIDR {cidr} as its own, but {listed(where)} routes {prefix} via {via},"
                f" which may be {listed(absent)}, not asked: write pod_cidr in hosts.toml"
                for via, where in ways[prefix].items()
            )
    return {name: first(lines, MAX_VALUES) for name, lines in mistakes.items()}


def _overlaps(
    some: Collection[Network], others: Collection[Network]
) -> Iterator[tuple[Network, Network]]:
    """Each pair, of one network and another of the others, in which one holds the other."""
    yield from ((one, one) for one in some if one in others)
    ours, theirs = Prefixes(some), Prefixes(others)
    yield from ((one, other) for other in others for one in ours.around(other))
    yield from ((one, other) for one in some for other in theirs.around(one))


def _ways(facts: Facts) -> set[PersistedRoute]:
    """Prefixes and next hops of a machine's owned routes: present, recorded, and in files."""
    routes = {id(r): r for r in (*facts.owned, *facts.recorded)}.values()  # a line is read once
    held = {(r.prefix, hop.via) for r in routes for hop in r.hops if hop.via is not None}
    return held | persisted_routes(facts.files)


def _pod_cidrs(machine: Machine, facts: Facts) -> tuple[tuple[Network, ...], list[str]]:
    """A worker's pod CIDRs, from hosts.toml, else as `claimed`; and the mistakes in them."""
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
    return tuple(cidr for _, cidr in named), first(wrong, MAX_VALUES)


def claimed(facts: Facts) -> list[tuple[str, Network]]:
    """A machine's pod CIDR of each family, with the place: the first one that names it."""
    by_family: dict[int, tuple[str, Network]] = {}
    for claim in facts.claims:
        for network in claim.networks:
            by_family.setdefault(network.version, (claim.place, network))
    return list(by_family.values())


def contradictions(facts: Facts, mine: Network) -> list[tuple[str, Network]]:
    """The places on a machine that name a pod CIDR of this family which is not inside `mine`."""
    claims = {(claim.place, network) for claim in facts.claims for network in claim.networks}
    return [
        (place, network)
        for place, network in sorted(claims, key=str)
        if network.version == mine.version and not within(network, (mine,))
    ]


def _internal_ips(
    cluster: Cluster, machine: Machine, facts: Facts, pod_cidrs: tuple[Network, ...]
) -> tuple[tuple[Address, ...], list[str]]:
    """A worker's internal IPs, one for each family of its pod CIDRs; and the mistakes in them."""
    here = [interface.ip for _, interface in facts.addresses]
    if machine.internal_ips:
        own = _listed(i.ip for _, i in own_addresses(facts, pod_cidrs))
        return machine.internal_ips, [
            f"internal_ip {ip} is not one of its addresses (it has {own})"
            for ip in machine.internal_ips
            if ip not in here
        ]
    chosen: list[Address] = []
    wrong = []
    for family in sorted({n.version for n in pod_cidrs}):
        likely, doubtful = candidates(cluster, facts, pod_cidrs, family)
        if len(likely) == 1:
            chosen.append(likely[0][1].ip)
            continue
        ranges = [n for n in cluster.node_networks if n.version == family]
        where = f" in node_networks {_listed(ranges)}" if ranges else ""
        have = [str(i.ip) for _, i in likely] or [
            f"{i.ip} ({why_doubtful(cluster, facts, dev, i)})" for dev, i in doubtful
        ]
        wrong.append(
            f"it has {_listed(have) or f'no IPv{family} address'}{where}:"
            " write its internal_ip in hosts.toml"
        )
    return tuple(chosen), wrong


def candidates(
    cluster: Cluster, facts: Facts, pod_cidrs: Collection[Network], family: int
) -> tuple[list[_Own], list[_Own]]:
    """The node's own addresses of a family that are likely its internal IP, and the doubtful ones.

    With node_networks of the family, those in them are likely, and none is doubtful. Without them,
    private addresses on links that are no bridges are likely. A person has to confirm any other: a
    public one, one on a bridge, which may be the node's uplink (vmbr0) or Docker's, and one inside
    pod_networks. If a link of its own has one of the latter, that may be the nodes' network: then
    all are doubtful.
    """
    ranges = [n for n in cluster.node_networks if n.version == family]
    of_family = [(dev, i) for dev, i in own_addresses(facts, pod_cidrs) if i.version == family]
    if ranges:
        return [(dev, i) for dev, i in of_family if within(host(i.ip), ranges)], []
    likely = [
        (dev, i)
        for dev, i in of_family
        if dev not in facts.bridges and is_private(i.ip) and not _among_pods(cluster, i)
    ]
    amid_pods = any(
        dev not in facts.bridges and _among_pods(cluster, i) and i.network.num_addresses > 1
        for dev, i in of_family
    )
    return ([], of_family) if amid_pods or not likely else (likely, [])


def why_doubtful(cluster: Cluster, facts: Facts, device: str, own: Interface) -> str:
    """Why an address may not be a node's internal IP, in words."""
    if _among_pods(cluster, own):
        return f"on {device}, inside pod_networks"
    if not is_private(own.ip):
        return f"on {device}, public"
    return f"on bridge {device}" if device in facts.bridges else f"on {device}"


def is_private(ip: Address) -> bool:
    """Whether an address is in the private ranges of RFC 1918 and RFC 4193."""
    return within(host(ip), PRIVATE)


def _among_pods(cluster: Cluster, own: Interface) -> bool:
    return within(host(own.ip), cluster.pod_networks)


def own_addresses(facts: Facts, pod_cidrs: Collection[Network]) -> list[_Own]:
    """A node's own addresses. `pod_cidrs`: those of its pods.

    Left out are addresses of pods, of the loopback and link-local ranges, and of services:
    kube-proxy in IPVS mode gives those to every node, on kube-ipvs0.
    """
    others = {facts.pod_bridge, "kube-ipvs0"}
    pods = Prefixes(pod_cidrs)
    return [
        (dev, i)
        for dev, i in facts.addresses
        if dev not in others and not (i.is_loopback or i.is_link_local or pods.over(i.ip))
    ]


def _listed(values: Iterable[object]) -> str:
    return listed(map(str, values), MAX_VALUES)


def _shared(machines: Collection[Machine]) -> Iterator[str]:
    """Internal IPs and pod CIDRs that two of the completed workers have in common."""
    ips = [(host(ip), m.name) for m in machines for ip in m.internal_ips]
    for (ip, one), (_, other) in overlaps(ips):
        yield f"{one} and {other} have the same internal IP {ip.network_address}"
    pod_cidrs = [(cidr, m.name) for m in machines for cidr in m.pod_cidrs]
    for (wide, one), (narrow, other) in overlaps(pod_cidrs):
        yield f"pod CIDRs overlap: {wide} of {one} and {narrow} of {other}"
