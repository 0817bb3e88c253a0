"""The pairs of which a copy cannot tell whether they answer: a gap is on their way. Pure.

A packet meets the machines at both ends of its pair. It may meet any other machine where one of
them sends it to another next hop than the planned one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.common import values
from tasks.common.values import Address
from tasks.connectivity.probe import probes
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.facts.survey import Survey
from tasks.iproute.route import Route
from tasks.iproute.table import Lookup
from tasks.snapshots.gap import Gap

NO_PROBE = "no address to ping could be set up"


def doubts(
    survey: Survey, pairs: Iterable[Pair], gaps: Mapping[str, Sequence[Gap]]
) -> dict[Pair, str]:
    """The pairs of which nobody can say whether they answer, and why, in words.

    `survey`: of the copy. `gaps`: what was not copied, by machine.
    """
    ways = _Ways(survey)
    deciding = [(name, gap) for name, found in gaps.items() for gap in found if gap.packets]
    found = {}
    for pair in pairs:
        if pair.verdict == "no probe":
            found[pair] = NO_PROBE
            continue
        for name, gap in deciding:
            if ways.concerns(pair, name, gap):
                found[pair] = f"not copied of {name}: {gap.words}"
                break
    return found


@dataclass(frozen=True)
class _Way:
    """How one end of a pair sends and receives the packets of that pair."""

    devices: frozenset[str]
    strays: bool  # whether a next hop may be another machine


class _Ways:
    """The ways between machines, by the routes that they have."""

    def __init__(self, survey: Survey) -> None:
        self._cluster = survey.cluster
        self._facts = survey.facts
        self._tables = {name: _tables(facts.routes) for name, facts in survey.facts.items()}
        self._known: dict[tuple[str, str, int], _Way] = {}

    def concerns(self, pair: Pair, name: str, gap: Gap) -> bool:
        """Whether what is not copied of a machine may decide about the packets of a pair."""
        ends = (pair.source, pair.target)
        if gap.prefix and not self._within(pair, gap.prefix):
            return False
        if name not in ends:
            return any(
                self._way(here, there, pair.family).strays for here, there in (ends, reversed(ends))
            )
        other = pair.target if name == pair.source else pair.source
        return not gap.device or gap.device in self._way(name, other, pair.family).devices

    def _within(self, pair: Pair, prefix: str) -> bool:
        """Whether an address that packets of a pair have, or are sent to, is inside a prefix."""
        network = values.prefix(prefix)
        return any(
            address.version == network.version == pair.family and address in network
            for end in (pair.source, pair.target)
            for address in self._addresses(end, pair.family)
        )

    def _addresses(self, name: str, family: int) -> Iterator[Address]:
        machine, facts = self._cluster.machine(name), self._facts[name]
        yield from (p.address for p in probes(machine, facts) if p.address.version == family)
        yield from machine.internal_ips

    def _way(self, here: str, there: str, family: int) -> _Way:
        key = (here, there, family)
        if key not in self._known:
            self._known[key] = self._new_way(here, there, family)
        return self._known[key]

    def _new_way(self, here: str, there: str, family: int) -> _Way:
        """The links and next hops that any table of a machine has for the other's addresses."""
        facts: Facts = self._facts[here]
        planned = self._cluster.machine(there).internal_ip(family)
        own = self._cluster.machine(here).internal_ip(family)
        devices = {facts.pod_bridge, *(dev for dev, i in facts.addresses if i.ip == own)}
        strays = False
        for address in self._addresses(there, family):
            for table in self._tables[here]:
                route = table.route_to(address) if address.version == family else None
                if route is not None and route.type == "unicast":
                    devices |= {hop.dev for hop in route.hops if hop.dev}
                    vias = {hop.via for hop in route.hops}
                    strays = strays or not route.hops or not vias <= {planned, None}
        return _Way(frozenset(devices), strays)


def _tables(routes: Iterable[Route]) -> list[Lookup]:
    """The routing tables of a machine, prepared for lookups."""
    names = dict.fromkeys(route.table for route in routes)
    return [Lookup([r for r in routes if r.table == name], name) for name in names]
