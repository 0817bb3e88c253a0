"""Drift: how a machine differs from what the last confirmed run left on it. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from tasks.common.text import listed
from tasks.common.values import Address, Network
from tasks.facts.model import Facts
from tasks.iproute.route import Place, Route
from tasks.iproute.table import Lookup
from tasks.persistence.backends import persisted_routes


class DriftKind(Enum):
    """The kinds of drift: `json` is the word for programs, `text` the one for people."""

    MISSING = "lost", "missing"  # recorded as confirmed, and no longer in the kernel
    CHANGED = "changed by another hand", "changed by someone else"  # another route has its prefix
    NOT_IN_FILE = "not in the file", "not in the file"  # a reboot would lose it
    ONLY_IN_FILE = "only in the file", "only in the file"  # a reboot would add it
    BGP_DOWN = "BGP down", "BGP down"  # BIRD does not run, or a session is not established
    NOT_BY_BGP = "not by BGP", "missing"  # it should have come by BGP, and has not

    def __init__(self, json: str, text: str) -> None:
        self.json = json
        self.text = text


@dataclass(frozen=True)
class Drift:
    """One route, or all sessions of BGP, that differ from what the last confirmed run left."""

    kind: DriftKind
    prefix: Network | None  # None: of sessions
    what: str


def drift(facts: Facts, wanted: Collection[Place], stay: bool) -> tuple[Drift, ...]:
    """The drift of a machine: of wanted prefixes in the kernel, and of all prefixes in its files.

    `stay`: routes must survive a reboot, so that a file that does not exist is drift too. Empty
    while a change waits for confirmation: until then nobody knows what the machine should have.
    """
    return () if facts.pending else (*_in_the_kernel(facts, wanted), *_in_the_files(facts, stay))


def bgp_drift(
    facts: Facts, neighbors: Mapping[Address, str], absent: Iterable[Route]
) -> tuple[Drift, ...]:
    """The drift of what a machine exchanges by BGP. It says the same as long as it lasts.

    `neighbors`: the names of those that should speak with it. `absent`: wanted routes that no
    static route serves, and that should have come by BGP. Empty while a change waits.
    """
    bird = facts.bird
    if facts.pending or not bird.conf:
        return ()
    if not bird.running:
        return (Drift(DriftKind.BGP_DOWN, None, "BIRD does not run"),)
    down = [s.remote for s in bird.sessions if s.remote in neighbors and not s.established]
    names = listed(dict.fromkeys(neighbors[remote] for remote in down))
    return (
        *([Drift(DriftKind.BGP_DOWN, None, f"no session with {names}")] if down else []),
        *(Drift(DriftKind.NOT_BY_BGP, r.prefix, f"{r} has not come by BGP") for r in absent),
    )


def missing_routes(facts: Facts) -> list[Route]:
    """The routes that the last confirmed run recorded as ours and the kernel no longer has."""
    if facts.recorded == facts.owned:
        return []  # the usual case, and fast: equal lines are parsed into the same object
    there = {(r.key, r.hops) for r in facts.owned}
    return [r for r in facts.recorded if (r.key, r.hops) not in there]


def _in_the_kernel(facts: Facts, wanted: Collection[Place]) -> Iterator[Drift]:
    missing = [route for route in missing_routes(facts) if route.place in wanted]
    lookup = Lookup(facts.routes if missing else ())
    now = {place: listed(map(str, lookup.at(place))) for place in {r.place for r in missing}}
    for route in missing:
        if others := now[route.place]:
            yield Drift(DriftKind.CHANGED, route.prefix, f"{route} is now {others}")
        else:
            yield Drift(DriftKind.MISSING, route.prefix, f"{route} was put here and is gone")


def _in_the_files(facts: Facts, stay: bool) -> Iterator[Drift]:
    if not (facts.files or stay):
        return
    held = persisted_routes(facts.files)
    there = {(r.prefix, r.next_hop): r for r in facts.owned}
    recorded = {(r.prefix, r.next_hop) for r in facts.recorded}
    for way, route in there.items():
        if way not in held:
            what = f"{route} would not survive a reboot"
            yield Drift(DriftKind.NOT_IN_FILE, route.prefix, what)
    for prefix, via in sorted(held - set(there) - recorded, key=str):
        what = f"{prefix} via {via} would come with a reboot"
        yield Drift(DriftKind.ONLY_IN_FILE, prefix, what)
