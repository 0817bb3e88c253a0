"""Chooses the pairs to ping if there are too many to ping all. Pure."""

from random import Random

from tasks.inventory.model import Cluster

FULL_MESH = 64  # machines up to which all pairs are pinged
PEERS = 8  # workers that each machine of a larger cluster pings

Pairs = frozenset[tuple[str, str]]  # names of machines: (from, to)


def sample(cluster: Cluster, peers: int, seed: int) -> Pairs:
    """Pairs in which each machine pings `peers` workers, or all others if there are fewer.

    The seed decides the order of the workers in a ring, and some distances. Each worker pings the
    workers at these distances from it. So all workers are sources and targets equally often.
    Each controller pings random workers.
    """
    chance = Random(seed)  # noqa: S311  # no secret
    ring = [worker.name for worker in cluster.workers]
    chance.shuffle(ring)
    count = min(peers, len(ring) - 1)
    steps = chance.sample(range(1, len(ring)), max(count, 0))
    pairs = {
        (name, ring[(at + step) % len(ring)]) for at, name in enumerate(ring) for step in steps
    }
    for machine in cluster.machines:
        if machine.role == "controller":
            pairs |= {(machine.name, to) for to in chance.sample(ring, min(peers, len(ring)))}
    return frozenset(pairs)


def chosen(cluster: Cluster, peers: int, seed: int, *, full: bool) -> Pairs | None:
    """The pairs to ping; None: all. `peers`: workers that each machine pings; 0: the default."""
    if full or (not peers and len(cluster.machines) <= FULL_MESH):
        return None
    return sample(cluster, peers or PEERS, seed)
