"""Which pairs are pinged if there are too many to ping all. Pure."""

from random import Random

from tasks.inventory.model import Cluster

FULL_MESH = 64  # machines up to which all pairs are pinged
PEERS = 8  # for each machine, past that

Pairs = frozenset[tuple[str, str]]  # of machines: from, to


def sample(cluster: Cluster, peers: int, seed: int) -> Pairs:
    """For each machine some workers to ping; each worker is pinged by as many others.

    The workers stand in a ring in an order of their own for each seed, and each pings those at
    some distances; so every one of them is a source and a target equally often.
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
    """The pairs to ping, None for all; `peers` for each machine, 0 where nobody said how many."""
    if full or (not peers and len(cluster.machines) <= FULL_MESH):
        return None
    return sample(cluster, peers or PEERS, seed)
