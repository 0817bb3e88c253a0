"""The pairs of which a copy cannot tell whether they answer: a gap is on their way. Pure.

A packet meets the machines at both ends of its pair. It may meet any other machine where one of
them may send it to another next hop than the planned one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from tasks.common.text import listed
from tasks.common.values import Address, Network, address, network, prefix
from tasks.connectivity.probe import probes
from tasks.connectivity.verdict import Pair
from tasks.facts.survey import Survey
from tasks.iproute.names import table_name
from tasks.iproute.route import Route
from tasks.iproute.table import Lookup
from tasks.snapshots.gap import Gap
from tasks.snapshots.model import FAMILIES, State

NO_PROBE = "no address to ping could be set up"


def doubts(
    survey: Survey,
    pairs: Iterable[Pair],
    states: Mapping[str, State],
    gaps: Mapping[str, Sequence[Gap]],
) -> dict[Pair, str]:
    """The pairs of which nobody can say whether they answer, and why, in words.

    `survey`: of the copy. `states`: what it is a copy of, by machine. `gaps`: what was not copied.
    """
    ways = _Ways(survey, states)
    deciding = {name: [gap for gap in found if gap.packets] for name, found in gaps.items()}
    return {pair: why for pair in pairs if (why := _doubt(ways, deciding, pair))}


def _doubt(ways: "_Ways", gaps: Mapping[str, Sequence[Gap]], pair: Pair) -> str:
    """Why nobody can say whether a pair answers; empty if the copy shows it."""
    if pair.verdict == "no probe":
        return NO_PROBE
    for name in (pair.source, pair.target):
        if ways.between(name, pair).forks:
            return f"{name} has a route with several next hops: each kernel chooses in its own way"
        if pair.ok and (gateway := ways.gateway(name, pair)):
            return f"{name} may send packets by {gateway}, which is no machine's and not copied"
    names = ways.machines(pair)
    shared = (ways.shared[name] for name in names if name in ways.shared)
    concerned = (
        f"not copied of {name}: {gap.words}"
        for name in names
        for gap in gaps.get(name, ())
        if ways.meets(pair, name, gap)
    )
    return next(chain(shared, concerned), "")


@dataclass(frozen=True)
class _Way:
    """How a machine may send on the packets for another, and those that come back.

    `strays`: whether a next hop may be a third machine. `forks`: whether a route has several.
    """

    devices: frozenset[str]
    strays: bool
    forks: bool


@dataclass(frozen=True)
class _Rule:
    """A policy rule that looks up a table for packets from or to these addresses, or for all.

    What else it asks of a packet, such as a mark, is not known here: it may match.
    """

    table: Lookup
    source: Network | None
    target: Network | None

    def may_match(self, sources: Collection[Address], target: Address) -> bool:
        """Whether packets to an address may be looked up in its table."""
        if self.target is not None and target not in self.target:
            return False
        return self.source is None or any(ip in self.source for ip in sources)


class _Ways:
    """The ways between machines, by the routes in every table that a rule may look up for them."""

    def __init__(self, survey: Survey, states: Mapping[str, State]) -> None:
        self._cluster = survey.cluster
        self._facts = survey.facts
        self._rules = {
            (name, family): _rules(states[name], facts.routes, family)
            for name, facts in survey.facts.items()
            for family in FAMILIES
        }
        self._machines = {i.ip for facts in survey.facts.values() for _, i in facts.addresses}
        self._probes = {
            name: [probe.address for probe in probes(self._cluster.machine(name), facts)]
            for name, facts in survey.facts.items()
        }
        self._all = list(survey.facts)
        self.shared = _shared(survey)
        self._known: dict[tuple[str, str, int], _Way] = {}

    def machines(self, pair: Pair) -> Sequence[str]:
        """The machines that packets of a pair may meet."""
        ends = (pair.source, pair.target)
        return self._all if any(self.between(end, pair).strays for end in ends) else ends

    def meets(self, pair: Pair, name: str, gap: Gap) -> bool:
        """Whether packets of a pair that meet a machine may meet what is not copied of it."""
        if gap.prefix and not self._within(pair, gap.prefix):
            return False
        others = [end for end in (pair.source, pair.target) if end != name]
        ways = [self._way(name, other, pair.family) for other in others]
        return not gap.device or any(gap.device in way.devices for way in ways)

    def between(self, end: str, pair: Pair) -> _Way:
        """The way from one end of a pair to the other."""
        return self._way(end, pair.target if end == pair.source else pair.source, pair.family)

    def gateway(self, end: str, pair: Pair) -> str:
        """A next hop that is no machine, by which one end of a pair may send to the other.

        Empty if there is none. What a machine sends itself comes back to its own address.
        """
        back = end == pair.target
        to = pair.source if back else pair.target
        own = back and not pair.from_pod
        addresses = self._senders(pair) if own else self._probed(to, pair.family)
        hops = chain.from_iterable(r.hops for r in self._routes(end, addresses, pair.family))
        return next((str(hop.via) for hop in hops if hop.via and hop.via not in self._machines), "")

    def _within(self, pair: Pair, inside: str) -> bool:
        """Whether an address that packets of a pair have, or are sent to, is inside a prefix."""
        around = prefix(inside)
        return around.version == pair.family and any(
            ip in around
            for end in (pair.source, pair.target)
            for ip in self._addresses(end, pair.family)
        )

    def _addresses(self, name: str, family: int) -> Iterator[Address]:
        """The addresses of a machine and of its pods that the packets of pairs have."""
        yield from self._probed(name, family)
        internal = self._cluster.machine(name).internal_ip(family)
        if internal is not None:
            yield internal

    def _probed(self, name: str, family: int) -> Iterator[Address]:
        """The addresses that stand for the pods of a machine."""
        return (ip for ip in self._probes[name] if ip.version == family)

    def _senders(self, pair: Pair) -> Iterator[Address]:
        """The addresses that what a machine itself sends to the target may come from.

        A route says which, or else it is one of the link that the route leads over, if it has any.
        """
        own = [i for i in self._facts[pair.source].addresses if i[1].version == pair.family]
        for route in self._routes(pair.source, self._probed(pair.target, pair.family), pair.family):
            said = dict(pairwise(route.text.split()))
            if "src" in said:
                yield address(said["src"])
                continue
            devices = {hop.dev for hop in route.hops}
            of_link = [i.ip for dev, i in own if dev in devices]
            yield from of_link or [i.ip for _, i in own]

    def _routes(self, name: str, to: Iterable[Address], family: int) -> Iterator[Route]:
        """The routes by which a machine may send to these addresses."""
        sources = list(self._addresses(name, family))
        for target in to:
            for rule in self._rules[name, family]:
                route = rule.table.route_to(target)
                matches = rule.may_match(sources, target)
                if matches and route is not None and route.type == "unicast":
                    yield route

    def _way(self, here: str, there: str, family: int) -> _Way:
        key = (here, there, family)
        if key not in self._known:
            self._known[key] = self._new_way(here, there, family)
        return self._known[key]

    def _new_way(self, here: str, there: str, family: int) -> _Way:
        facts = self._facts[here]
        own = self._cluster.machine(here).internal_ip(family)
        devices = {facts.pod_bridge, *(dev for dev, i in facts.addresses if i.ip == own)}
        routes = list(self._routes(here, self._addresses(there, family), family))
        forks = any(len(route.hops) != 1 for route in routes)
        hops = [hop for route in routes for hop in route.hops]
        planned = (None, self._cluster.machine(there).internal_ip(family))
        return _Way(
            frozenset({*devices, *(hop.dev for hop in hops)}),
            forks or any(hop.via not in planned for hop in hops),
            forks,
        )


def _shared(survey: Survey) -> dict[str, str]:
    """The machines whose internal IP another machine has too: which of them answers is chance."""
    holders: dict[Address, list[str]] = defaultdict(list)
    for name, facts in survey.facts.items():
        for ip in dict.fromkeys(i.ip for _, i in facts.addresses):
            holders[ip].append(name)
    return {
        machine.name: f"{listed(holders[ip])} have the same address, {ip}"
        for machine in survey.cluster.machines
        for ip in machine.internal_ips
        if len(holders[ip]) > 1
    }


def _rules(state: State, routes: Iterable[Route], family: int) -> list[_Rule]:
    """The policy rules of a machine that look up a table."""
    tables: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        tables[route.table].append(route)
    found = []
    for line in state.tables(family).rules:
        words = line.partition(":")[2].split()
        said = dict(pairwise(words))
        if "lookup" in said:
            name = table_name(said["lookup"])
            source, target = (
                None if "not" in words or said.get(key, "all") == "all" else network(said[key])
                for key in ("from", "to")
            )
            found.append(_Rule(Lookup(tables[name], name), source, target))
    return found
