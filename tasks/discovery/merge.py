"""Merges what the sources found and compares it with hosts.toml. Pure."""

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
    """The operator's choice of machines from a source."""

    cluster: Cluster | None  # hosts.toml: its machines are always selected
    match: tuple[str, ...] = ()  # exact names or shell patterns
    tag: str = ""

    @cached_property
    def _named(self) -> frozenset[str]:
        return frozenset(m.name for m in self.cluster.machines) if self.cluster else frozenset()

    def takes(self, found: Found) -> bool:
        """True if this machine is selected."""
        if found.name in self._named:
            return True
        if not (self.match or self.tag):
            return found.member
        fits = not self.match or any(fnmatchcase(found.name, pattern) for pattern in self.match)
        return fits and (not self.tag or self.tag in found.tags)

    def unmet(self, every: Sequence[Found]) -> list[str]:
        """The flags, as typed on the command line, that fit none of these machines."""
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
    values: tuple[Value, ...]  # one value, or all candidates if the state is open
    held: str  # the value in hosts.toml; empty if there is none
    state: State
    against: tuple[Value, ...] = ()  # other values, from sources that contradict the taken value

    def settled(self, value: Value) -> "Row":
        """The row with this one value, and no longer open."""
        state: State = "same" if value.text == self.held else "differs" if self.held else "new"
        return replace(self, values=(value,), state=state)


@dataclass(frozen=True)
class Discovery:
    """The merged result for a whole cluster."""

    rows: tuple[Row, ...]
    roles: Mapping[str, Role]  # by name, for every machine in `rows`
    new: tuple[str, ...]  # machines that are not in hosts.toml
    gone: Mapping[str, tuple[str, ...]]  # machines in hosts.toml: the sources that do not list them
    absent: frozenset[str]  # machines in `gone` that no source lists
    notes: tuple[str, ...]  # for the operator

    @property
    def open(self) -> tuple[Row, ...]:
        """The rows for which the operator must choose a value."""
        return tuple(row for row in self.rows if row.state == "open")


def shared_names(found: Iterable[Found]) -> list[str]:
    """One message for each name that a source gives to several machines."""
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
    """Merge everything found about each machine and compare it with hosts.toml.

    `found` holds the selected machines. `listed` holds every name that a source lists, by source.
    `controllers` are patterns for the names of machines without a pod CIDR.
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
    notes: dict[str, list[str]] = defaultdict(list)  # note: the machines it is about
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
    """The IP versions of the pod networks; both if unknown."""
    if cluster:
        return {network.version for network in cluster.pod_networks}
    return {v.family for one in found for v in one.values if v.field == "pod_cidr"} or {4, 6}


def _in_order(by_name: Iterable[str], held: Mapping[str, Machine]) -> list[str]:
    """The machines of hosts.toml in its order, then new ones in natural order (2 before 10)."""

    def natural(name: str) -> list[tuple[str, int]]:
        return [(text, int(part or -1)) for text, part in re.findall(r"(\D*)(\d*)", name)]

    return [*held, *sorted((n for n in by_name if n not in held), key=natural)]


def _role(name: str, found: Sequence[Found], controllers: Sequence[str]) -> Role | None:
    """The role of a new machine; None if kubectl lists it but cannot tell its role yet."""
    roles = [one.role for one in found if one.role]
    if roles:
        return "worker" if "worker" in roles else "controller"
    if any(fnmatchcase(name, pattern) for pattern in controllers):
        return "controller"
    return None if any(one.source == "kubectl" for one in found) else "worker"


def _notes(found: Iterable[Found]) -> list[str]:
    return [note for one in found for note in one.notes]


def _says_no_pods(found: Sequence[Found]) -> bool:
    """True if the machine answered over ssh, and no source gives it a pod CIDR."""
    asked = any(one.source == "ssh" and not one.trouble for one in found)
    return asked and not any(v.field == "pod_cidr" for one in found for v in one.values)


def _lacking(machine: Machine, listed: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The sources that should list a machine but do not."""
    return tuple(
        source
        for source, names in listed.items()
        # A controller without a kubelet, as in the hard-way tutorial, is not a node.
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
    """The rows of one machine. `families` are the IP versions of the pods."""
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
                    continue  # pods of this family do not exist: no next hop is needed
                of_family = [likely_internal(values, ranges, links) for values in of_family]
            rows.append(_row(name, field, family, list(filter(None, of_family)), held))
    if machine is None and not any(row.field == "public_ip" for row in rows):
        rows.insert(0, _row(name, "public_ip", 0, [[_way_in(name, rows)]], ""))
    return rows


def _row(machine: str, field: Field, family: int, sets: Sequence[list[Value]], held: str) -> Row:
    """The row of one field, from the candidates of each source; open if no value is clear."""
    if field == "pod_cidr":  # values from several files of one machine can contradict each other
        sets = [[value] for values in sets for value in values]
    common = agreed(sets)
    values = common or distinct(sets)
    row = Row(machine, field, family, tuple(values), held, "open")
    answer = next((v for v in values if v.text == held), None)
    if field == "public_ip" and held and not _is_address(held):
        answer = Value(field, family, held, "hosts.toml")  # a host name that the operator chose
    elif field == "public_ip" and common:
        answer = answer or common[0]  # a machine may have several public IPs, and all are valid
    elif len(values) == 1 and values[0].sure:
        answer = values[0]
    if answer is None:
        return row
    against = () if common else tuple(v for v in values if v.text != answer.text)
    return replace(row.settled(answer), against=against)


def _held(machine: Machine | None, field: Field, family: int) -> str:
    """The value of a field in hosts.toml, for one family; empty if there is none."""
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
    """The address for ssh if no source gives a public IP: the internal IP, else the name."""
    internal = [v for row in rows if row.field == "internal_ip" for v in row.values]
    if len(internal) == 1:
        return Value("public_ip", 0, internal[0].text, "its internal IP")
    return Value("public_ip", 0, name, "its name")
