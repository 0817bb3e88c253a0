"""The plans that delete this tool's routes from a provider's table: a rollback, a drain. Pure."""

from collections.abc import Collection
from dataclasses import replace

from tasks.common.text import counted
from tasks.common.values import Network
from tasks.inventory.model import Cluster
from tasks.networks.model import Key, TableRoute, overlap
from tasks.networks.state import NetworkState

from .model import TableChange, TablePlan
from .provider_table import wanted_routes


def plan_table_rollback(
    cluster: Cluster, network: NetworkState, added: Collection[Key] | None = None
) -> TablePlan:
    """Plan to delete the routes that this tool added, and to put back those that it displaced.

    `added`: which of the remembered routes; None: all. With `added`, only what these displaced is
    put back.
    """
    table, memory = network.table, network.memory
    chosen = memory.added if added is None else added
    doomed = [r for r in table.routes if r.key in chosen]
    stays = [r for r in table.routes if r not in doomed]
    displaced = {
        key
        for key in memory.displaced
        if added is None or any(overlap(key[0], destination) for destination, _ in chosen)
    }
    changes: list[TableChange] = []
    notes: list[str] = []
    for destination, gateway in sorted(displaced, key=str):
        old = TableRoute(destination, gateway)
        if table.by_destination.get(destination) in stays:
            continue  # somebody has put one there since
        in_the_way = table.in_the_way(destination)
        if not table.works(old) or any(r in stays for r in in_the_way):
            notes.append(f"{old} cannot be put back: its server is gone, or its place is taken")
            continue
        take = tuple(r for r in doomed if r in in_the_way)
        doomed = [r for r in doomed if r not in take]
        changes.append(TableChange(old, take))
    changes += [TableChange(None, (r,)) for r in doomed]
    wanted = {r.key for routes in wanted_routes(cluster).values() for r in routes}
    unknown = [r for r in stays if r.key in wanted - memory.added]
    if unknown:
        notes.append(
            f"{counted(len(unknown), 'route')} to pods of this cluster stay: nothing says that this"
            " tool added them (`fab apply-routes --adopt`, and then rollback, deletes them)"
        )
    unchecked = memory.unchecked if added is None else frozenset()
    checked = tuple(m for m in table.members if m.id in unchecked and not m.source_check)
    return TablePlan(
        name=network.name,
        table=table,
        before=memory,
        memory=replace(
            memory,
            ours=memory.ours - set(chosen),
            unfinished=memory.unfinished - set(chosen),
            displaced=memory.displaced - displaced,
            unchecked=memory.unchecked - unchecked,
            run="" if memory.unfinished <= set(chosen) else memory.run,
        ),
        last=tuple(changes),
        checked=checked,
        notes=tuple(notes),
    )


def plan_table_drain(network: NetworkState, destinations: Collection[Network]) -> TablePlan:
    """Plan to delete our routes to the pod CIDRs of a worker that is to leave."""
    table, memory = network.table, network.memory
    doomed = [r for r in table.routes if network.owned(r) and r.destination in destinations]
    gone = {r.key for r in doomed}
    after = replace(memory, ours=memory.ours - gone, unfinished=memory.unfinished - gone)
    return TablePlan(
        name=network.name,
        table=table,
        before=memory,
        memory=after,
        last=tuple(TableChange(None, (r,)) for r in doomed),
    )
