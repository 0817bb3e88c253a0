"""Asks the sources, and works out the changes to hosts.toml."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.values import Network, within
from tasks.inventory.edit import Edit, new_file
from tasks.inventory.model import Cluster, Machine, Role, Ssh
from tasks.ssh.fleet import Fleet

from . import sources
from .merge import Discovery, Row, Selection, combine, shared_names
from .model import Attached, Found, Request

SSH = "ssh"  # this source lists no machines; it asks the machines that are already known


@dataclass(frozen=True)
class Gathered:
    """The merged answers of all sources."""

    discovery: Discovery
    providers: tuple[str, ...]  # cloud providers, by their names in facts/providers.py
    others: Mapping[str, int]  # number of unselected machines per source
    skipped: Mapping[str, str]  # machines that could not be reached, with the reason
    unmet: Sequence[str]  # flags that select machines but fit none in any source
    # By source that knows networks which route: what each machine's internal IPs are attached to.
    attached: Mapping[str, Mapping[tuple[str, str], Attached]]


def gather(
    names: Sequence[str],
    request: Request,
    path: Path,
    cluster: Cluster | None,
    selection: Selection,
    controllers: Sequence[str],
    reach: Callable[[Cluster], Fleet],
) -> Gathered:
    """Ask each source in `names` and merge the answers.

    `reach` connects to the machines of a cluster, for the source ssh. Raises Stop if a source
    fails, if it gives one name to several selected machines, or if it selects no machine for a new
    hosts.toml.
    """
    found: list[Found] = []
    listed: dict[str, frozenset[str]] = {}
    others: dict[str, int] = {}
    everyone: list[Found] = []
    discovery = combine(found, cluster, listed)
    for name in sorted(names, key=SSH.__eq__):  # ssh last: it asks machines that others found
        if name == SSH:
            draft = drafted(discovery, path, cluster)
            request = replace(request, fleet=lambda draft=draft: reach(draft))  # type: ignore[misc]
            found += sources.ask(name, request)
        else:
            every = list(sources.ask(name, request))
            meant = [one for one in every if one.name and selection.takes(one)]
            if not meant and cluster is None:
                raise Stop(_none_meant(name, every))
            found += meant
            everyone += every
            listed[name] = frozenset(one.name for one in every)
            if not (selection.match or selection.tag):
                others[name] = len(every) - len(meant)
        twice = shared_names(found)
        if twice:
            raise Stop("\n".join(twice))
        discovery = combine(found, cluster, listed, controllers)
    return Gathered(
        discovery,
        tuple(dict.fromkeys(one.provider for one in found if one.provider)),
        others,
        {one.name: one.trouble for one in found if one.trouble},
        selection.unmet(everyone),
        {
            source: {
                (one.name, text): attached
                for one in found
                if one.source == source
                for text, attached in (one.networks or {}).items()
            }
            for source in dict.fromkeys(one.source for one in found if one.networks is not None)
        },
    )


def _none_meant(source: str, every: Sequence[Found]) -> str:
    if not every:
        return f"{source} lists no machine at all: is that the right account or project?"
    names = ", ".join(one.name for one in every[:20])
    return (
        f"{source}: which machines? --match 'worker-*' chooses by name, --tag TAG by tag;"
        f" there are: {names}{', ...' if len(every) > 20 else ''}"
    )


def drafted(discovery: Discovery, path: Path, cluster: Cluster | None) -> Cluster:
    """The cluster as far as it is known: enough to connect to its machines."""
    base = cluster or Cluster(path, (), (), ssh=Ssh(known_hosts=path.parent / "known_hosts"))
    held = {machine.name: machine for machine in base.machines}
    ways = {row.machine: row.values[0].text for row in discovery.rows if row.field == "public_ip"}
    machines = [
        replace(held[name], public_ip=ways.get(name, held[name].public_ip))
        if name in held
        else Machine(name, role, ways[name])
        for name, role in discovery.roles.items()
        if name not in discovery.absent
    ]
    return replace(base, machines=tuple(machines))


def edit_of(discovery: Discovery, cluster: Cluster | None, prune: bool) -> Edit:
    """The changes to hosts.toml. Open rows change nothing.

    With `prune`, machines that no source lists are removed.
    """
    held = {machine.name: machine for machine in cluster.machines} if cluster else {}
    changes: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in discovery.rows:
        if row.state in ("new", "differs"):
            fields = changes.setdefault(row.machine, {})
            before = fields.get(row.field, _held(held.get(row.machine), row.field))
            fields[row.field] = _with(before, row)
    roles: tuple[Role, ...] = ("worker", "controller")
    removes = frozenset(n for n in held if prune and n in discovery.absent)
    return Edit(
        sets={n: fields for n, fields in changes.items() if n in held and n not in removes},
        adds=[
            (name, role, changes.get(name, {}))
            for role in roles
            for name in discovery.new
            if discovery.roles[name] == role
        ],
        removes=removes,
    )


def _held(machine: Machine | None, field: str) -> tuple[str, ...]:
    if machine is None or field == "public_ip":
        return ()
    several = machine.internal_ips if field == "internal_ip" else machine.pod_cidrs
    return tuple(map(str, several))


def _with(before: tuple[str, ...], row: Row) -> tuple[str, ...]:
    """The values of a field with the row's value, in place of the old value of its family."""
    text = row.values[0].text
    if row.held in before:
        return tuple(text if value == row.held else value for value in before)
    return (*before, text)


def new_text(pod_networks: Sequence[str], path: Path) -> str:
    """The first part of a new hosts.toml. Raises Stop if the pod networks are unknown."""
    if not pod_networks:
        raise Stop(
            f"{path} is not written: no source names a pod CIDR. Say what holds them all,"
            " --pod-networks 10.200.0.0/16, or add a source that knows: ssh, kubectl"
        )
    return new_file(pod_networks)


def around(rows: Sequence[Row]) -> list[str]:
    """The smallest network of each family that contains all pod CIDRs found.

    If such a network would contain an internal IP or the whole address space, the pod CIDRs of
    that family instead.
    """
    outers: list[Network] = []
    for version in (4, 6):
        settled = [r for r in rows if r.family == version and r.state != "open"]
        inner = [values.network(r.values[0].text) for r in settled if r.field == "pod_cidr"]
        nodes = [values.network(r.values[0].text) for r in settled if r.field == "internal_ip"]
        for outer in inner[:1]:
            while not all(within(network, (outer,)) for network in inner):
                outer = outer.supernet()  # noqa: PLW2901
            amid = not outer.prefixlen or any(within(node, (outer,)) for node in nodes)
            outers += dict.fromkeys(inner) if amid else [outer]
    return list(map(str, outers))
