"""The plans that delete this tool's routes from a provider's table: a rollback, a drain. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from tasks.common.text import counted
from tasks.common.values import Network
from tasks.inventory.model import Cluster
from tasks.networks.memory import TableRecord
from tasks.networks.model import Key, Member, Table, TableRoute, overlap
from tasks.networks.state import NetworkState

from .model import TableChange, TablePlan
from .provider_table import wanted_routes


def plan_table_rollback(
    cluster: Cluster,
    network: NetworkState,
    added: Collection[Key] | None = None,
    name: str = "",
) -> TablePlan:
    """Plan to delete the routes that this tool added, and to put back those that it displaced.

    `added`: which of the remembered routes; None: all. With `added`, only what these displaced is
    put back. `name`: a machine; then only the routes to its pods. `cluster` must be complete.
    """
    table, memory = network.table, network.memory
    mine = _of(cluster, network, name)
    chosen = mine.routes(memory.added if added is None else added)
    displaced = {
        key
        for key in mine.routes(memory.displaced)
        if added is None or any(overlap(key[0], destination) for destination, _ in chosen)
    }
    changes, notes = _exchanged(network, chosen, displaced)
    wanted = mine.routes(r.key for rs in wanted_routes(cluster).values() for r in rs if r.key)
    unknown = [r for r in table.routes if r.key in wanted - memory.added - chosen]
    if unknown:
        notes.append(
            f"{counted(len(unknown), 'route')} to pods of this cluster stay: nothing says that this"
            " tool added them (`fab apply-routes --adopt`, and then rollback, deletes them)"
        )
    unchecked = mine.members(memory.unchecked) if added is None else frozenset()
    return TablePlan(
        name=network.name,
        table=table,
        before=memory,
        memory=replace(
            memory,
            ours=memory.ours - chosen,
            unfinished=memory.unfinished - chosen,
            displaced=memory.displaced - displaced,
            unchecked=memory.unchecked - unchecked,
            run="" if memory.unfinished <= chosen else memory.run,
        ),
        last=changes,
        checked=_checked(table, unchecked),
        notes=tuple(notes),
    )


def last_record(
    cluster: Cluster, network: NetworkState, latest: str, lasts: Collection[str], name: str = ""
) -> TableRecord | None:
    """What the last run changed in the table; None if nothing says that it changed it.

    `latest`: the last run of the machines, empty if they have none. `lasts`: the last run of each.
    A run that changed no machine is the last one if they have had no other since. `name`: a
    machine; then only what is about its pods counts.
    """
    mine = _of(cluster, network, name)
    records = [
        replace(
            one,
            puts=mine.routes(one.puts),
            takes=mine.routes(one.takes),
            unchecked=mine.members(one.unchecked),
        )
        for one in network.memory.runs
    ]
    records = [one for one in records if not one.empty]
    if records and records[-1].seen is not None and records[-1].seen.issuperset(lasts):
        return records[-1]
    return next((one for one in records if one.run == latest), None)


def plan_table_last(network: NetworkState, record: TableRecord) -> TablePlan:
    """Plan to take back what a run changed in the table."""
    table, memory = network.table, network.memory
    changes, notes = _exchanged(network, record.puts, record.takes)
    back = {change.put.key for change in changes if change.put}
    foreign = {key for key in record.puts - memory.added if network.has(key)}
    return TablePlan(
        name=network.name,
        table=table,
        before=memory,
        memory=replace(
            memory,
            ours=(memory.ours - record.puts) | (record.owned & back),
            displaced=(memory.displaced - record.takes) | foreign,
            unchecked=memory.unchecked - record.unchecked,
        ),
        last=changes,
        checked=_checked(table, record.unchecked),
        notes=tuple(notes),
    )


def unchanged(network: NetworkState, note: str) -> TablePlan:
    """A plan that leaves the table as it is, and says why."""
    memory = network.memory
    return TablePlan(network.name, network.table, memory, memory, notes=(note,))


@dataclass(frozen=True)
class _Scope:
    """Which routes and members a rollback is about; None: all."""

    destinations: tuple[Network, ...] | None
    ids: frozenset[str] | None

    def routes(self, keys: Iterable[Key]) -> frozenset[Key]:
        """Those of these routes that it is about."""
        own = self.destinations
        return frozenset(k for k in keys if own is None or any(overlap(k[0], one) for one in own))

    def members(self, ids: frozenset[str]) -> frozenset[str]:
        """Those of these members that it is about."""
        return ids if self.ids is None else ids & self.ids


def _of(cluster: Cluster, network: NetworkState, name: str) -> _Scope:
    """The pod CIDRs and the interface of a machine; without a name those of all."""
    if not name:
        return _Scope(None, None)
    machine = cluster.machine(name)
    members = network.table.by_address
    ids = frozenset(members[ip].id for ip in machine.internal_ips if ip in members)
    return _Scope(machine.pod_cidrs, ids)


def _checked(table: Table, ids: Collection[str]) -> tuple[Member, ...]:
    """The members whose source check is switched on again."""
    return tuple(m for m in table.members if m.id in ids and not m.source_check)


def _exchanged(
    network: NetworkState, doomed_keys: Collection[Key], back: Collection[Key]
) -> tuple[tuple[TableChange, ...], list[str]]:
    """Changes that delete some routes and put others back, and what there is to say of them."""
    table = network.table
    doomed = [r for r in table.routes if r.key in doomed_keys]
    stays = [r for r in table.routes if r not in doomed]
    changes: list[TableChange] = []
    notes: list[str] = []
    for destination, gateway in sorted(back, key=str):
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
    return tuple(changes), notes


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
