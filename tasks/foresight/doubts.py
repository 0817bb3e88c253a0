"""The pairs of which a copy cannot tell whether they answer: a gap is on their way. Pure.

A packet meets the machines at both ends of its pair. It may meet any other machine where one of
them may send it to another next hop than the planned one.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tasks.common.text import listed
from tasks.common.values import Address, Network, prefix
from tasks.connectivity.probe import probes
from tasks.connectivity.verdict import Pair
from tasks.facts.survey import Survey
from tasks.iproute.names import table_name
from tasks.iproute.route import Route
from tasks.iproute.rule import keyed, selector
from tasks.iproute.table import Lookup
from tasks.snapshots.gap import Gap
from tasks.snapshots.model import FAMILIES, State

NO_PROBE = "no address to ping could be set up"

# What may give packets another source address than that of a link: iptables, nft.
_TRANSLATION = re.compile(r"\b(SNAT|NETMAP|snat)\b")


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
    packets = ways.packets(pair)
    for name in (pair.source, pair.target):
        if any(way.forks for way in ways.of(name, packets)):
            return f"{name} has a route with several next hops: each kernel chooses in its own way"
    names = ways.machines(packets)
    gateways = (
        f"{name} may send packets by {way.gateway}, which is no machine's and not copied"
        for name in names
        for way in ways.of(name, packets)
        if pair.ok and way.gateway
    )
    shared = (ways.shared[name] for name in names if name in ways.shared)
    concerned = (
        f"not copied of {name}: {gap.words}"
        for name in names
        for gap in gaps.get(name, ())
        if ways.meets(packets, name, gap)
    )
    return next(chain(gateways, shared, concerned), "")


@dataclass(frozen=True)
class _Packets:
    """The packets of a pair: the addresses that its requests and its answers may go to."""

    pair: Pair
    requests: frozenset[Address]
    answers: frozenset[Address]


@dataclass(frozen=True)
class _Way:
    """How a machine may send on packets to some addresses of another.

    `strays`: whether a next hop may be a third machine. `forks`: whether a route has several.
    `gateway`: a next hop that no machine is; empty if there is none.
    """

    devices: frozenset[str]
    strays: bool
    forks: bool
    gateway: str


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
        self._translating = {
            name
            for name, state in states.items()
            if any(_TRANSLATION.search(firewall.listing) for firewall in state.firewalls)
        }
        self._own = {  # any machine may have the others, on links of its own
            name: [(dev, i) for dev, i in facts.addresses if not (i.is_link_local or i.is_loopback)]
            for name, facts in survey.facts.items()
        }
        self._machines = {i.ip for own in self._own.values() for _, i in own}
        self._probes = {
            name: [probe.address for probe in probes(self._cluster.machine(name), facts)]
            for name, facts in survey.facts.items()
        }
        self._all = list(survey.facts)
        self.shared = _shared(survey)
        self._known: dict[tuple[str, str, frozenset[Address]], _Way] = {}

    def packets(self, pair: Pair) -> _Packets:
        """The packets of a pair."""
        requests = frozenset(self._addresses(pair.target, pair.family))
        return _Packets(pair, requests, self._senders(pair))

    def machines(self, packets: _Packets) -> Sequence[str]:
        """The machines that packets of a pair may meet."""
        ends = (packets.pair.source, packets.pair.target)
        strays = any(way.strays for end in ends for way in self.of(end, packets))
        return self._all if strays else ends

    def meets(self, packets: _Packets, name: str, gap: Gap) -> bool:
        """Whether packets of a pair that meet a machine may meet what is not copied of it."""
        if gap.prefix and not self._within(packets.pair, gap.prefix):
            return False
        return not gap.device or any(gap.device in way.devices for way in self.of(name, packets))

    def of(self, name: str, packets: _Packets) -> list[_Way]:
        """How a machine may send on the requests of a pair, and how the answers."""
        pair, found = packets.pair, []
        if name != pair.target:
            found.append(self._way(name, pair.target, pair.family, packets.requests))
        if name != pair.source:
            found.append(self._way(name, pair.source, pair.family, packets.answers))
        return found

    def _within(self, pair: Pair, inside: str) -> bool:
        """Whether an address that packets of a pair have, or are sent to, is inside a prefix."""
        around = prefix(inside)
        return around.version == pair.family and any(
            ip in around
            for end in (pair.source, pair.target)
            for ip in self._addresses(end, pair.family)
        )

    def _addresses(self, name: str, family: int) -> Iterator[Address]:
        """The internal IP of a machine, and the addresses that stand for its pods."""
        internal = self._cluster.machine(name).internal_ip(family)
        for ip in (internal, *self._probes[name]):
            if ip is not None and ip.version == family:
                yield ip

    def _senders(self, pair: Pair) -> frozenset[Address]:
        """The source addresses that the requests of a pair may have, to which the answers go.

        Those of pods may be masqueraded. A machine's own have the address that the route names, or
        one of the link that the route leads over, or any if that link has none. Of a link's, IPv4
        takes one that has the next hop in its network (inet_select_addr in net/ipv4/devinet.c).
        """
        found = set(self._addresses(pair.source, pair.family)) if pair.from_pod else set()
        own = [(dev, i) for dev, i in self._own[pair.source] if i.version == pair.family]
        requests = (ip for ip in self._probes[pair.target] if ip.version == pair.family)
        routes = list(self._routes(pair.source, requests, pair.family))
        for route in routes:
            for hop in route.hops:
                of_link = [i for dev, i in own if dev == hop.dev]
                near = [i for i in of_link if i.version == 4 and hop.via and hop.via in i.network]
                found.update(i.ip for i in near or of_link or (i for _, i in own))
            found.update([route.source] if route.source else [])
        if not routes or pair.source in self._translating:
            found.update(self._addresses(pair.source, pair.family), (i.ip for _, i in own))
        return frozenset(found)

    def _routes(self, name: str, to: Iterable[Address], family: int) -> Iterator[Route]:
        """The routes by which a machine may send to these addresses."""
        sources = {*(i.ip for _, i in self._own[name]), *self._addresses(name, family)}
        for target in to:
            for rule in self._rules[name, family]:
                route = rule.table.route_to(target)
                matches = rule.may_match(sources, target)
                if matches and route is not None and route.type == "unicast":
                    yield route

    def _way(self, here: str, there: str, family: int, to: frozenset[Address]) -> _Way:
        key = (here, there, to)
        if key not in self._known:
            self._known[key] = self._new_way(here, there, family, to)
        return self._known[key]

    def _new_way(self, here: str, there: str, family: int, to: frozenset[Address]) -> _Way:
        own = self._cluster.machine(here).internal_ip(family)
        devices = {
            self._facts[here].pod_bridge,
            *(dev for dev, i in self._own[here] if i.ip == own),
        }
        routes = list(self._routes(here, to, family))
        hops = [hop for route in routes for hop in route.hops]
        forks = any(len(route.hops) != 1 for route in routes)
        planned = (None, self._cluster.machine(there).internal_ip(family))
        return _Way(
            frozenset({*devices, *(hop.dev for hop in hops)}),
            forks or any(hop.via not in planned for hop in hops),
            forks,
            next((str(hop.via) for hop in hops if hop.via and hop.via not in self._machines), ""),
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
        said = keyed(words)
        if "lookup" in said:
            name = table_name(said["lookup"])
            source, target = (
                None if "not" in words else selector(said.get(key)) for key in ("from", "to")
            )
            found.append(_Rule(Lookup(tables[name], name), source, target))
    return found
