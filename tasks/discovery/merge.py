"""What the sources found, put together and held against hosts.toml. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

from tasks.common.values import NAME, Network, address
from tasks.inventory.model import Cluster, Machine, Role

from .candidates import agreed, distinct, likely_internal, listing, shared_links, without_shared
from .model import Field, Found, Value

State = Literal["same", "new", "differs", "open"]
NO_NAME = "hosts.toml can hold no such name, and nothing is asked by it: rename it; left out"
NO_PODS = "names no pod CIDR; if it is to own none: --controllers with its name"
FIELDS: tuple[Field, ...] = ("public_ip", "internal_ip", "pod_cidr")


@dataclass(frozen=True)
class Selection:
    """Which machines of a source are meant; names are exact, or patterns as the shell has them."""

    cluster: Cluster | None  # those in hosts.toml are always meant
    match: tuple[str, ...] = ()
    tag: str = ""

    @cached_property
    def _named(self) -> frozenset[str]:
        return frozenset(m.name for m in self.cluster.machines) if self.cluster else frozenset()

    def takes(self, found: Found) -> bool:
        """Whether this machine is meant."""
        if found.name in self._named:
            return True
        if not (self.match or self.tag):
            return found.member
        fits = not self.match or any(fnmatchcase(found.name, pattern) for pattern in self.match)
        return fits and (not self.tag or self.tag in found.tags)

    def unmet(self, every: Sequence[Found]) -> list[str]:
        """What of it fits no machine, as it stands on the command line."""
        names = [one.name for one in every]
        strange = [f"--match {p}" for p in self.match if not any(fnmatchcase(n, p) for n in names)]
        tagged = not self.tag or any(self.tag in one.tags for one in every)
        return strange if tagged else [*strange, f"--tag {self.tag}"]


@dataclass(frozen=True)
class Row:
    """One field of one machine, in one address family (0: a public IP)."""

    machine: str
    field: Field
    family: int
    values: tuple[Value, ...]  # one, or all that are possible where the state is open
    held: str  # what hosts.toml says, empty for nothing
    state: State
    against: tuple[Value, ...] = ()  # what contradicts hosts.toml, though other sources agree

    def settled(self, value: Value) -> "Row":
        """The same, with one of its values taken."""
        state: State = "same" if value.text == self.held else "differs" if self.held else "new"
        return replace(self, values=(value,), state=state)


@dataclass(frozen=True)
class Discovery:
    """What was found of a whole cluster."""

    rows: tuple[Row, ...]
    roles: Mapping[str, Role]  # of every machine that has rows
    new: tuple[str, ...]  # machines that are not in hosts.toml
    gone: Mapping[str, tuple[str, ...]]  # machines of hosts.toml, and the sources without them
    absent: frozenset[str]  # those of them that no source lists any more
    notes: tuple[str, ...]

    @property
    def open(self) -> tuple[Row, ...]:
        """The rows that need a person's answer."""
        return tuple(row for row in self.rows if row.state == "open")


def shared_names(found: Iterable[Found]) -> list[str]:
    """A line for each name that a source gives to several machines."""
    places: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        places[one.source, one.name].append(one)
    return [
        f"{source}: {len(same)} machines are named {name}"
        f" ({', '.join(_first_address(one) for one in same)}): rename all but one"
        for (source, name), same in places.items()
        if len(same) > 1
    ]


def _first_address(found: Found) -> str:
    return next((value.text for value in found.values), "no address")


def combine(
    found: Sequence[Found],
    cluster: Cluster | None,
    listed: Mapping[str, frozenset[str]],
    controllers: Sequence[str] = (),
) -> Discovery:
    """Everything found about each machine, next to what hosts.toml says of it.

    `found` holds the machines that are meant; `listed` is, for each source that lists machines,
    every name it has, `controllers` the patterns for names of those that own no pod CIDR.
    """
    held = {machine.name: machine for machine in cluster.machines} if cluster else {}
    ranges = cluster.node_networks if cluster else ()
    by_name: dict[str, list[Found]] = {name: [] for name in held}
    for one in found:
        by_name.setdefault(one.name, []).append(one)
    kept, shared = without_shared(by_name)
    links = shared_links(kept)
    families = _pod_families(cluster, found)
    rows: list[Row] = []
    roles: dict[str, Role] = {}
    new = []
    notes: dict[str, list[str]] = defaultdict(list)  # what to know, and of which machines
    for name in _in_order(by_name, held):
        here, machine = kept[name], held.get(name)
        if not (machine or re.fullmatch(NAME, name)):
            notes[NO_NAME].append(name)
            continue
        role = machine.role if machine else _role(name, by_name[name], controllers)
        if role is None:
            notes[f"{'; '.join(_notes(here))}: left out"].append(name)
            continue
        for note in _notes(here):
            notes[note].append(name)
        if machine is None:
            new.append(name)
            if role == "worker" and _says_no_pods(here):
                notes[NO_PODS].append(name)
        elif machine.role == "controller" and any(one.role == "worker" for one in here):
            notes["owns a pod CIDR: move it from [[controllers]] to [[workers]]"].append(name)
        roles[name] = role
        rows += _rows(name, role, here, machine, ranges, links, families)
    gone = {n: lacking for n, m in held.items() if (lacking := _lacking(m, listed))}
    absent = frozenset(n for n in gone if not any(n in names for names in listed.values()))
    lines = (*shared, *(f"{listing(names)}: {note}" for note, names in notes.items()))
    return Discovery(tuple(rows), roles, tuple(new), gone, absent, lines)


def _pod_families(cluster: Cluster | None, found: Iterable[Found]) -> set[int]:
    """The address families that pods have, both where nothing tells."""
    if cluster:
        return {network.version for network in cluster.pod_networks}
    return {v.family for one in found for v in one.values if v.field == "pod_cidr"} or {4, 6}


def _in_order(by_name: Iterable[str], held: Mapping[str, Machine]) -> list[str]:
    """The machines of hosts.toml in its order, then new ones: worker-2 before worker-10."""

    def natural(name: str) -> list[tuple[int, str]]:
        return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", name)]

    return [*held, *sorted((n for n in by_name if n not in held), key=natural)]


def _role(name: str, found: Sequence[Found], controllers: Sequence[str]) -> Role | None:
    """What a new machine is; None where a source knows it and cannot tell yet."""
    roles = [one.role for one in found if one.role]
    if roles:
        return "worker" if "worker" in roles else "controller"
    if any(fnmatchcase(name, pattern) for pattern in controllers):
        return "controller"
    return None if any(one.source == "kubectl" for one in found) else "worker"


def _notes(found: Iterable[Found]) -> list[str]:
    return [note for one in found for note in one.notes]


def _says_no_pods(found: Sequence[Found]) -> bool:
    """Whether a machine was asked itself, and nothing names a pod CIDR of it."""
    asked = any(one.source == "ssh" and not one.trouble for one in found)
    return asked and not any(v.field == "pod_cidr" for one in found for v in one.values)


def _lacking(machine: Machine, listed: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The sources that should list a machine and do not."""
    return tuple(
        source
        for source, names in listed.items()
        # A controller is no node where no kubelet runs on it, as in the tutorial.
        if machine.name not in names and (source != "kubectl" or machine.role == "worker")
    )


def _rows(
    name: str,
    role: Role,
    found: Sequence[Found],
    machine: Machine | None,
    ranges: Sequence[Network],
    links: set[Network],
    families: set[int],
) -> list[Row]:
    rows = []
    for field in FIELDS:
        if field == "pod_cidr" and role == "controller":
            continue
        sets = [[v for v in one.values if v.field == field] for one in found]
        for family in sorted({v.family for values in sets for v in values}):
            of_family = [[v for v in values if v.family == family] for values in sets]
            held = _held(machine, field, family)
            if field == "internal_ip":
                if family not in families and not held:
                    continue  # next hop to no pods
                of_family = [likely_internal(values, ranges, links) for values in of_family]
            rows.append(_row(name, field, family, list(filter(None, of_family)), held))
    if machine is None and not any(row.field == "public_ip" for row in rows):
        rows.insert(0, _row(name, "public_ip", 0, [[_way_in(name, rows)]], ""))
    return rows


def _row(machine: str, field: Field, family: int, sets: Sequence[list[Value]], held: str) -> Row:
    if field == "pod_cidr":  # what several places on one machine name are no alternatives
        sets = [[value] for values in sets for value in values]
    common = agreed(sets)
    values = common or distinct(sets)
    row = Row(machine, field, family, tuple(values), held, "open")
    answer = next((v for v in values if v.text == held), None)
    if field == "public_ip" and held and not _is_address(held):
        answer = Value(field, family, held, "hosts.toml")  # the operator's own name for it
    elif field == "public_ip" and common:
        answer = answer or common[0]  # it may have several, and all are right
    elif len(values) == 1:
        answer = values[0]
    if answer is None:
        return row
    against = () if common else tuple(v for v in values if v.text != answer.text)
    return replace(row.settled(answer), against=against)


def _held(machine: Machine | None, field: Field, family: int) -> str:
    """What hosts.toml says of a field, in one address family."""
    if machine is None:
        return ""
    if field == "public_ip":
        return machine.public_ip
    several = machine.internal_ips if field == "internal_ip" else machine.pod_cidrs
    return next((str(value) for value in several if value.version == family), "")


def _is_address(text: str) -> bool:
    try:
        address(text)
    except ValueError:
        return False
    return True


def _way_in(name: str, rows: Sequence[Row]) -> Value:
    """Where ssh may go to a machine of which no source names a public IP."""
    internal = [v for row in rows if row.field == "internal_ip" for v in row.values]
    if len(internal) == 1:
        return Value("public_ip", 0, internal[0].text, "its internal IP")
    return Value("public_ip", 0, name, "its name")
