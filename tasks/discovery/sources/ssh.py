"""Asks the machines themselves over ssh, in the same single round trip as every other task.

The pod CIDR comes from the kubelet config, else from the CNI config, and is checked against the
address of the pod bridge. Every address of a machine is a candidate for its internal IP.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from tasks.common.values import Interface, host, within
from tasks.discovery.model import Found, Request, Value
from tasks.facts.complete import (
    candidates,
    claimed,
    contradictions,
    doubtful_claims,
    own_addresses,
    why_doubtful,
)
from tasks.facts.model import Facts
from tasks.facts.providers import provider_of, routed
from tasks.facts.survey import ask
from tasks.inventory.model import Cluster, Machine

USURPED = (
    "names a pod CIDR as its own that others have routes to by a machine that was not asked:"
    " not taken"
)


def machines(request: Request) -> Iterator[Found]:
    """Every machine known so far, with the values that it reports. Unreachable ones say why."""
    assert request.fleet is not None
    fleet = request.fleet()
    facts, troubles = ask(fleet, skip_unreachable=request.skip_unreachable)
    doubtful = set(doubtful_claims(fleet.cluster, facts))
    for machine in fleet.cluster.machines:
        found = facts.get(machine.name)
        if found is None:
            yield Found(machine.name, "ssh", trouble=troubles[machine.name])
            continue
        yield Found(
            machine.name,
            "ssh",
            (
                *_internal_ips(fleet.cluster, machine, found),
                *(
                    ()
                    if machine.role == "controller" or machine.name in doubtful
                    else _pod_cidrs(found)
                ),
            ),
            provider=provider_of(found),
            notes=(*routed(found), *([USURPED] if machine.name in doubtful else [])),
        )


def _internal_ips(cluster: Cluster, machine: Machine, facts: Facts) -> Iterator[Value]:
    pod_cidrs = {*machine.pod_cidrs, *(n for claim in facts.claims for n in claim.networks)}
    ranged = {network.version for network in cluster.node_networks}
    for device, own in own_addresses(facts, pod_cidrs):
        # A bridge may be the node's own uplink (vmbr0) or Docker's. Only node_networks can tell.
        other = device in facts.bridges and not within(host(own.ip), cluster.node_networks)
        if own.version in ranged and not other:
            yield _value(device, own)
    podded = {network.version for network in cluster.pod_networks}  # none in a new file
    for family in sorted({4, 6} - ranged):
        likely, doubtful = candidates(cluster, facts, pod_cidrs, family)
        yield from (_value(device, own) for device, own in likely)
        for device, own in doubtful if family in podded else ():
            place = why_doubtful(cluster, facts, device, own)
            yield replace(_value(device, own), place=place, sure=False)


def _value(device: str, own: Interface) -> Value:
    return Value("internal_ip", own.version, str(own.ip), device, own.network)


def _pod_cidrs(facts: Facts) -> Iterator[Value]:
    for place, mine in claimed(facts):
        for named, network in ((place, mine), *contradictions(facts, mine)):
            yield Value("pod_cidr", network.version, str(network), _short(named))


def _short(place: str) -> str:
    """A short name of a place: the file name of a path, or the bridge of an address."""
    return PurePosixPath(place).name if place.startswith("/") else place.rpartition(" ")[2]
