"""The plan for a provider's table: from the routes it has to those that pods need. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tasks.common.text import counted, listed
from tasks.common.values import within
from tasks.inventory.model import Cluster
from tasks.networks.memory import Memory
from tasks.networks.model import Member, Table, TableRoute, overlap
from tasks.networks.state import NetworkState

from .conflicts import Conflict
from .model import Allowed, TableChange, TablePlan


@dataclass
class _Draft:
    """What a plan gathers, worker by worker."""

    first: list[TableChange] = field(default_factory=list)
    in_sync: list[TableRoute] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    unchecked: list[Member] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)


def plan_table(
    cluster: Cluster,
    network: NetworkState,
    allowed: Allowed,
    only: str = "",
    skipped: Collection[str] = (),
) -> TablePlan:
    """Plan a route to each worker's pod CIDR. `cluster` must be complete.

    `only`: the name of one worker; then the plan has only the route to it. `skipped`: the workers
    that could not be reached; their routes stay as they are.
    """
    table, memory = network.table, network.memory
    draft = _Draft()
    everything = wanted_routes(cluster)
    for name, wanted in everything.items():
        if name not in skipped and only in ("", name):
            for route in wanted:
                _plan_route(name, route, network, allowed, draft)
    needed = {route.destination for wanted in everything.values() for route in wanted}
    taken = {route for change in draft.first for route in change.take}
    rest = [r for r in table.routes if r.destination not in needed and r not in taken]
    unknown = any(not w.pod_cidrs for w in cluster.workers if w.name in skipped)
    ours = [r for r in rest if network.owned(r)] if not (only or unknown) else []
    dead = [
        r
        for r in rest
        if within(r.destination, cluster.pod_networks) and not (table.works(r) or r in ours or only)
    ]
    last: list[TableChange] = []
    stale: list[str] = []
    if allowed.prune:
        if not allowed.force:
            draft.refusals += _prune_refusals(network, ours)
        # What leads nowhere goes first: a full table has no room for new routes.
        draft.first[:0] = [TableChange(None, (r,)) for r in (*ours, *dead) if not table.works(r)]
        last = [TableChange(None, (r,)) for r in ours if table.works(r)]
    else:
        stale = [
            *(f"{r}: no worker in hosts.toml has this pod CIDR; --prune deletes it" for r in ours),
            *(f"{r}: it leads to no server; --prune deletes it" for r in dead),
        ]
    draft.refusals += _limit_refusals(table, draft.first)
    return TablePlan(
        name=network.name,
        table=table,
        before=memory,
        memory=_after(network, draft, last, allowed),
        first=tuple(draft.first),
        last=tuple(last),
        unchecked=tuple(draft.unchecked),
        in_sync=tuple(draft.in_sync),
        conflicts=tuple(draft.conflicts),
        stale=tuple(stale),
        unfinished=tuple(r for r in table.routes if r.key in memory.unfinished),
        notes=tuple(draft.gaps),
        refusals=tuple(draft.refusals),
    )


def wanted_routes(cluster: Cluster) -> Mapping[str, list[TableRoute]]:
    """The routes that each worker's pods need, by its name; none where its address is unknown."""
    return {
        worker.name: [
            TableRoute(cidr, worker.internal_ip(cidr.version)) for cidr in worker.pod_cidrs
        ]
        for worker in cluster.workers
    }


def _plan_route(
    name: str, wanted: TableRoute, network: NetworkState, allowed: Allowed, draft: _Draft
) -> None:
    table = network.table
    refusal = _refusal(name, wanted, table)
    if refusal:
        draft.refusals.append(refusal)
        return
    member = table.by_address.get(wanted.gateway) if wanted.gateway else None
    if member and member.source_check:
        draft.unchecked.append(member)
    there = table.by_destination.get(wanted.destination)
    in_the_way = table.in_the_way(wanted.destination)
    if there is not None and there.key == wanted.key and in_the_way == [there]:
        draft.in_sync.append(there)
        return
    take = tuple(r for r in in_the_way if r.key != wanted.key)
    conflicts = [
        conflict for r in take if (conflict := _conflict(wanted, r, network, allowed)) is not None
    ]
    draft.conflicts += conflicts
    if conflicts:
        return
    displaces = tuple(r for r in take if not network.owned(r) and table.works(r))
    put = wanted if there is None or there in take else None
    draft.first.append(TableChange(put, take, displaces))
    if any(map(table.works, take)) and not network.atomic:
        draft.gaps.append(
            f"{wanted.destination} has no route for a moment: the API can only delete"
            f" {listed(map(str, take))}, and then add the new one"
        )


def _refusal(name: str, wanted: TableRoute, table: Table) -> str:
    """Why the table can have no such route; empty if it can."""
    prefix = wanted.destination
    if wanted.gateway is None:
        return f"{name} has no internal IP for {prefix}: write internal_ip in hosts.toml"
    if table.destinations and not within(prefix, table.destinations):
        return (
            f"{name}'s pod CIDR {prefix} is outside {listed(map(str, table.destinations))}: this"
            " provider routes no other destinations"
        )
    for subnet in table.subnets:
        if overlap(prefix, subnet):
            return (
                f"{name}'s pod CIDR {prefix} overlaps the network's subnet {subnet}, which holds"
                " machines: no route can lead it elsewhere"
            )
    if wanted.gateway not in table.by_address:
        return (
            f"{name}'s internal IP {wanted.gateway} belongs to no server of this network: attach"
            " the server to it, or correct internal_ip"
        )
    if not table.by_address[wanted.gateway].led:
        return (
            f"{name}'s subnet uses another route table, so the routes of this one do not count for"
            " what its pods send: associate the subnet with this table, or name the other in"
            " [network]"
        )
    return ""


def _conflict(
    wanted: TableRoute, route: TableRoute, network: NetworkState, allowed: Allowed
) -> Conflict | None:
    """Why a route that is in the way must stay; None if it may be deleted."""
    works, owned = network.table.works(route), network.owned(route)
    if not works and (owned or allowed.prune or allowed.replace):
        return None
    if not works:
        return Conflict(wanted.destination, str(route), "it leads to no server; --prune deletes it")
    if route.key is None:
        return Conflict(
            wanted.destination,
            str(route),
            "it leads to no machine, so rollback could not put it back: delete it where it is made",
        )
    if allowed.replace or (owned and network.atomic):
        return None
    member = network.table.by_address.get(route.gateway) if route.gateway else None
    what = f"{route}, which is {member.name}" if member else str(route)
    gap = "" if network.atomic else ": there is no route for a moment"
    back = "" if owned else "; rollback puts it back"
    return Conflict(wanted.destination, what, f"--replace exchanges it{gap}{back}")


def _prune_refusals(network: NetworkState, ours: Iterable[TableRoute]) -> list[str]:
    """Why our routes that no worker needs must not be deleted, one line for each."""
    servers = network.table.by_address
    return [
        f"cannot prune {r}: there still is {servers[r.gateway].name}, so a worker may be up: if it"
        " belongs to the cluster, add it to hosts.toml; else use --prune --force"
        for r in ours
        if r.gateway is not None and r.gateway in servers
    ]


def _limit_refusals(table: Table, first: Iterable[TableChange]) -> list[str]:
    """Why the table is too small for the additions; empty if it is not."""
    changes = list(first)
    added = sum(change.put is not None for change in changes)
    freed = sum(len(change.take) for change in changes)
    if added <= freed or len(table.routes) + added - freed <= table.limit:
        return []
    return [
        f"the table holds {counted(table.limit, 'route')} at most: it has {len(table.routes)}, and"
        f" {added - freed} more are needed"
    ]


def _after(
    network: NetworkState, draft: _Draft, last: Iterable[TableChange], allowed: Allowed
) -> Memory:
    """What is to be remembered after the plan is carried out."""
    memory = network.memory
    gone = {r.key for change in (*draft.first, *last) for r in change.take}
    put = {c.put.key for c in draft.first if c.put is not None and c.put.key is not None}
    in_sync = {r.key for r in draft.in_sync if r.key is not None}
    adopted = in_sync if allowed.adopt else in_sync & memory.unfinished
    held = {key for key in memory.ours if network.has(key)}
    rest = {key for key in memory.unfinished if network.has(key)} - adopted
    displaced = {r.key for c in draft.first for r in c.displaces if r.key is not None}
    return Memory(
        table=network.table.id,
        ours=frozenset((held | put | adopted) - gone),
        unfinished=frozenset(rest - gone),
        displaced=memory.displaced | displaced,
        unchecked=memory.unchecked | {member.id for member in draft.unchecked},
        run=memory.run if rest - gone else "",
        runs=memory.runs,
    )
