"""The routes that a machine's boot files are to have after a change. Pure."""

from collections.abc import Container, Iterable

from tasks.common.values import Network, within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route, number_of, own_route
from tasks.iproute.table import Lookup
from tasks.persistence.backends import persisted_routes

from .model import Change


def out_of_scope(facts: Facts, about: Container[Network]) -> set[Network]:
    """The prefixes of our routes, in a machine's files or recorded, that are not in `about`."""
    prefixes = {prefix for prefix, _ in persisted_routes(facts.files)} | {
        r.prefix for r in facts.recorded
    }
    return {prefix for prefix in prefixes if prefix not in about}


def boot_routes(
    facts: Facts,
    changes: Iterable[Change],
    cluster: Cluster,
    hidden: Container[Network],
    later: Iterable[Change] = (),
) -> list[Route]:
    """The routes for a machine's boot files: ours inside pod_networks, after the changes.

    `later`: changes that only delete, after the others. For `hidden` prefixes, which are out of
    scope, the files keep the routes that they have, even if the kernel lost them.
    """
    lookup = Lookup(facts.routes)
    in_files = [
        own_route(prefix, via, dev)
        for prefix, via in persisted_routes(facts.files)
        if prefix in hidden and (dev := lookup.link_to(number_of(via))) is not None
    ]
    taken = {r.key for change in changes for r in change.take}
    there = {r.key: r for r in (*in_files, *facts.owned) if r.key not in taken}
    there.update((c.put.key, c.put) for c in changes if c.put is not None)
    gone = {r.key for change in later for r in change.take}
    return [
        r for r in there.values() if within(r.prefix, cluster.pod_networks) and r.key not in gone
    ]
