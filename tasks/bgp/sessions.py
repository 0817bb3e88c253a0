"""Which machines speak BGP with each other, and what each accepts of the other.

In a small cluster every machine speaks with every other. In a large one every machine speaks with
two or three route reflectors (RFC 4456), so that a new machine changes nothing on the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tasks.common.values import Address, Network
from tasks.inventory.model import Bgp, Cluster, Machine

FULL_MESH = 16  # machines up to which every machine speaks with every other
REFLECTORS = 2  # chosen if hosts.toml names none; one more where there are so many controllers


class Relation(Enum):
    """What a neighbor is to a machine. The value is for people."""

    PEER = "peer"  # in a full mesh
    CLIENT = "client"  # of this reflector
    REFLECTOR = "reflector"
    ROUTER = "router"  # outside the cluster


@dataclass(frozen=True)
class Session:
    """One session of a machine, of one IP version."""

    neighbor: str  # a machine's name, or the address of a router
    relation: Relation
    local: Address
    remote: Address
    remote_as: int
    accept: tuple[Network, ...]  # exactly these prefixes; of a REFLECTOR: all pods' prefixes

    @property
    def name(self) -> str:
        """Its name in BIRD, which allows 64 characters: the remote address."""
        return str(self.remote)


def reflectors(cluster: Cluster, bgp: Bgp) -> tuple[str, ...]:
    """The names of the route reflectors; none in a full mesh.

    Controllers are chosen first, because workers come and go.
    """
    if bgp.reflectors or len(cluster.machines) <= FULL_MESH:
        return bgp.reflectors
    controllers = [m.name for m in cluster.machines if m.role == "controller"]
    count = REFLECTORS + 1 if len(controllers) > REFLECTORS else REFLECTORS
    return tuple([*controllers, *(w.name for w in cluster.workers)][:count])


def sessions(cluster: Cluster, bgp: Bgp, machine: Machine) -> tuple[Session, ...]:
    """The sessions of a machine: with other machines, then with routers."""
    found = [
        Session(
            other.name,
            relation,
            local,
            remote,
            bgp.as_number,
            tuple(c for c in other.pod_cidrs if c.version == local.version),
        )
        for other, relation in _neighbors(cluster, bgp, machine)
        for local in machine.internal_ips
        if (remote := other.internal_ip(local.version))
    ]
    found += [
        Session(
            str(router.address),
            Relation.ROUTER,
            local,
            router.address,
            router.as_number,
            tuple(n for n in router.accept if n.version == local.version),
        )
        for router in bgp.routers
        if (local := machine.internal_ip(router.address.version))
    ]
    return tuple(found)


def _neighbors(cluster: Cluster, bgp: Bgp, machine: Machine) -> Iterator[tuple[Machine, Relation]]:
    """The machines that a machine speaks with, and what each is to it."""
    chosen = reflectors(cluster, bgp)
    for other in cluster.machines:
        if other is machine:
            continue
        if not chosen:
            yield other, Relation.PEER
        elif other.name in chosen:
            yield other, Relation.REFLECTOR
        elif machine.name in chosen:
            yield other, Relation.CLIENT
