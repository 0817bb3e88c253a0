"""Drift: how a machine's routes differ from those it was left with. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from tasks.common.text import listed
from tasks.common.values import Network
from tasks.facts.model import Facts
from tasks.iproute.route import Route
from tasks.iproute.table import Lookup
from tasks.persistence.backends import ways_in

Kind = Literal["lost", "changed by another hand", "not in the file", "only in the file"]


@dataclass(frozen=True)
class Drift:
    """One route that is not as it was left.

    lost: put here and confirmed, and gone. changed by another hand: another route has its prefix.
    not in the file, only in the file: what the kernel has now, and what a reboot would bring.
    """

    kind: Kind
    prefix: Network
    what: str


def drift(facts: Facts, wanted: Collection[Network], stay: bool) -> tuple[Drift, ...]:
    """What is not as it was left: of the wanted prefixes in the kernel, of all in the files.

    `stay` says that routes are meant to outlive a reboot, even where there is no file. None while a
    change waits for confirmation: then it is not known yet what is to be.
    """
    return () if facts.pending else (*_in_the_kernel(facts, wanted), *_in_the_files(facts, stay))


def vanished(facts: Facts) -> list[Route]:
    """The routes of ours that the last confirmed run left, and that are not there any more."""
    here = {id(r) for r in facts.owned}  # the same line is read as the same object
    missed = [r for r in facts.kept if id(r) not in here]
    there = {(r.key, r.hops) for r in facts.owned} if missed else set()
    return [r for r in missed if (r.key, r.hops) not in there]


def _in_the_kernel(facts: Facts, wanted: Collection[Network]) -> Iterator[Drift]:
    gone = [route for route in vanished(facts) if route.prefix in wanted]
    lookup = Lookup(facts.routes if gone else ())
    now = {place: listed(map(str, lookup.at(place))) for place in {r.place for r in gone}}
    for route in gone:
        if others := now[route.place]:
            yield Drift("changed by another hand", route.prefix, f"{route} is now {others}")
        else:
            yield Drift("lost", route.prefix, f"{route} was put here and is gone")


def _in_the_files(facts: Facts, stay: bool) -> Iterator[Drift]:
    if not (facts.files or stay):
        return
    held = ways_in(facts.files)
    there = {(r.prefix, r.next_hop): r for r in facts.owned}
    known = {(r.prefix, r.next_hop) for r in facts.kept}
    for way, route in there.items():
        if way not in held:
            yield Drift("not in the file", route.prefix, f"{route} would not survive a reboot")
    for prefix, via in sorted(held - set(there) - known, key=str):
        yield Drift("only in the file", prefix, f"{prefix} via {via} would come with a reboot")
