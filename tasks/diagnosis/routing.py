"""Causes that stand in the machines' routing tables and policy rules. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.common.text import listed, typed_on
from tasks.common.values import Address, Network, host
from tasks.connectivity.probe import probes
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.iproute.table import Lookup

from .model import Cause, Scene


@dataclass(frozen=True)
class _Lack:
    """A route that a machine lacks."""

    to: str
    family: int
    instead: Route | None  # where it sends those packets, None for nowhere but a default route


def route_causes(scene: Scene, names: Sequence[str]) -> Iterator[Cause]:
    """What some machines lack; where every worker lacks every route, that is one cause."""
    probed = {
        w.name: _probed(w, scene.facts[w.name])
        for w in scene.cluster.machines
        if w.name in scene.facts
    }
    lacking = {name: _lacking(scene, name, probed) for name in names}
    workers = {w.name for w in scene.cluster.workers if w.name in scene.facts}
    missing = {
        name: [lack for lack in lacks if lack.instead is None] for name, lacks in lacking.items()
    }
    if len(workers) > 1 and all(
        {lack.to for lack in missing.get(name, ())} >= workers - {name} for name in workers
    ):
        words = "no worker has a route to the others' pods"
        yield Cause("", words, "fab apply-routes", tuple(scene.silent))
        return
    for name, lacks in lacking.items():
        if missing[name]:
            yield Cause(
                name,
                f"{name} has no route to the pods of {listed(lack.to for lack in missing[name])}",
                "fab apply-routes",
                _over(scene, name, missing[name]),
            )
        for lack in lacks:
            if lack.instead is not None:
                via = scene.cluster.machine(lack.to).internal_ip(lack.family)
                words = f"{name} sends packets for {lack.to}'s pods {_way(lack.instead)}"
                pairs = _over(scene, name, [lack])
                yield Cause(name, f"{words}, not via {via}", _replacing(lack.instead), pairs)
    for name in names:
        yield from _own_pods(scene, name)
        yield from _ruled(scene, name, probed)


def part_causes(cluster: Cluster, facts: Mapping[str, Facts]) -> list[Cause]:
    """Routes that lead parts of a worker's pods elsewhere: parts that no probe is in.

    Those that lead one way are one cause.
    """
    owners = {cidr: worker for worker in cluster.workers for cidr in worker.pod_cidrs}
    lengths = {(cidr.version, cidr.prefixlen) for cidr in owners}
    probed = {name: _probed(cluster.machine(name), found) for name, found in facts.items()}
    causes = []
    for name, found in facts.items():
        parts: dict[tuple[str, str, str], list[Route]] = defaultdict(list)
        for route in found.routes:
            prefix = route.prefix
            if route.table != "main" or route.tos != "0":
                continue
            for version, length in lengths:
                if version != prefix.version or length >= prefix.prefixlen:
                    continue
                worker = owners.get(prefix.supernet(new_prefix=length))
                if worker is None or worker.name == name or worker.name not in facts:
                    continue
                seen = probed[worker.name].get(version)
                unseen = seen is None or seen not in prefix
                if unseen and route.next_hop != worker.internal_ip(version):
                    way = _way(route) if route.type == "unicast" else f"nowhere ({route.type})"
                    parts[worker.name, way, _replacing(route)].append(route)
        for (owner, common, remedy), routes in parts.items():
            prefixes = listed(str(route.prefix) for route in routes)
            alone = len(routes) == 1
            part, way = ("a part", _way(routes[0])) if alone else ("parts", common)
            words = f"{name} sends packets for {prefixes}, {part} of {owner}'s pods"
            causes.append(Cause(name, f"{words}, {way}", remedy, ()))
    return causes


_Probed = Mapping[str, Mapping[int, Address]]  # where pods are pinged, by machine and IP version


def _probed(machine: Machine, facts: Facts) -> dict[int, Address]:
    """Where a worker's pods are pinged, by IP version."""
    return {probe.address.version: probe.address for probe in probes(machine, facts)}


def _lacking(scene: Scene, name: str, probed: _Probed) -> list[_Lack]:
    """The workers whose pods a machine has no route to, or a wrong one."""
    lookup = Lookup(scene.facts[name].routes)
    found = []
    for worker in scene.cluster.workers:
        if worker.name == name or worker.name not in scene.facts:
            continue
        for family, address in probed[worker.name].items():
            route = lookup.route_to(address)
            if route is None or route.prefix.prefixlen == 0:
                found.append(_Lack(worker.name, family, None))
            elif route.next_hop != worker.internal_ip(family):
                found.append(_Lack(worker.name, family, route))
    return found


def _way(route: Route) -> str:
    """Where a route leads, in words."""
    if route.type != "unicast":
        return f"nowhere ({route.type} {route.prefix})"
    if len(route.hops) != 1:
        return "several ways" if route.hops else "by a next hop object"
    return f"via {route.next_hop}" if route.next_hop else f"to the link of {route.hops[0].dev}"


def _replacing(route: Route) -> str:
    return f"fab apply-routes{'' if route.owned else ' --replace'}"


def _over(scene: Scene, name: str, lacks: Iterable[_Lack]) -> tuple[Pair, ...]:
    """The pairs whose requests, or the answers to them, take these routes of a machine."""
    ways = {(lack.to, lack.family) for lack in lacks}
    return tuple(
        pair
        for pair in scene.silent_by_end.get(name, ())
        if (pair.source == name and (pair.target, pair.family) in ways)
        or (pair.target == name and pair.from_pod and (pair.source, pair.family) in ways)
    )


def _own_pods(scene: Scene, name: str) -> Iterator[Cause]:
    """A machine that does not send packets for its own pods to its pod bridge."""
    facts = scene.facts[name]
    bridge = scene.link(name, facts.pod_bridge)
    if bridge is not None and not bridge.on:
        return  # which takes the route along
    lookup = Lookup(facts.routes)
    for probe in probes(scene.cluster.machine(name), facts):
        route = lookup.route_to(probe.address)
        if probe.gateway is None or (route and route.hops and route.hops[0].via is None):
            continue
        family = probe.address.version
        pairs = scene.silent_at(name, family)
        back = f"ip route add {probe.pod_cidr} dev {facts.pod_bridge}"
        if route is None or route.prefix.prefixlen == 0:
            words = f"{name} has no route to its own pods"
            yield Cause(name, words, typed_on(name, back), pairs)
        else:
            words = f"{name} sends packets for its own pods {_way(route)}"
            link = [back] if route.prefix == probe.pod_cidr else []
            if route.owned:
                mend = "; ".join(["fab apply-routes", *(typed_on(name, line) for line in link)])
            else:
                mend = typed_on(name, f"ip route del {route}", *link)
            yield Cause(name, words, mend, pairs)


def _ruled(scene: Scene, name: str, probed: _Probed) -> Iterator[Cause]:
    """Policy rules that take packets away before the main table is asked for their way."""
    facts = scene.facts[name]
    devices = {v: {scene.device(name, v), facts.pod_bridge} for v in (4, 6)}
    rules = {v: [r for r in facts.rules if r.family == v and _meant(r, devices[v])] for v in (4, 6)}
    tables = _Tables(facts.routes)
    taken: dict[Rule, dict[Pair, list[Address]]] = defaultdict(dict)  # with where they go
    for pair in scene.silent_by_end.get(name, ()) if facts.rules else ():
        for source, to in _passing(scene, name, pair, probed):
            if to is not None:
                for rule in _taking(rules[pair.family], tables, source, to):
                    taken[rule].setdefault(pair, []).append(to)
    for rule in (r for r in dict.fromkeys(facts.rules) if r in taken):
        goals = [to for away in taken[rule].values() for to in away]
        ip = "ip rule" if rule.family == 4 else "ip -6 rule"
        exempt = [f"{ip} add to {goal} lookup main" for goal in _networks(scene.cluster, goals)]
        yield Cause(
            name,
            f"{name} does not ask its main table for their way: policy rule {rule.text}",
            typed_on(f"{name}, and where that rule is set", *exempt),
            tuple(taken[rule]),
        )


def _taking(
    rules: Iterable[Rule], tables: "_Tables", source: Address | None, target: Address
) -> Iterator[Rule]:
    """The rules that take packets with these ends off their way, until one exempts them."""
    for rule in rules:
        if _matches(rule, source, target):
            if rule.exempts:
                return
            if tables.leads_away(rule.table, target):
                yield rule


def _meant(rule: Rule, devices: Collection[str]) -> bool:
    """Whether a rule exempts packets, or is about what comes in by these devices."""
    return rule.exempts or ("not" not in rule.text.split() and _comes_in(rule, devices))


def _comes_in(rule: Rule, devices: Collection[str]) -> bool:
    """Whether a rule is about what comes in by one of these devices, or by any."""
    device = rule.text.partition(" iif ")[2].split()[:1]
    return not device or device[0] in devices


_Ends = tuple[Address | None, Address | None]  # from, to


def _passing(scene: Scene, name: str, pair: Pair, probed: _Probed) -> list[_Ends]:
    """The packets of a pair that one of its ends sends on: the requests, the answers."""
    ends = [scene.cluster.machine(end) for end in (pair.source, pair.target)]
    from_pod, to_pod = (probed[end.name].get(pair.family) for end in ends)
    if pair.from_pod:
        return [(from_pod, to_pod), (to_pod, from_pod)]
    # A machine's own packets have no source address yet when their way is looked up.
    if name == pair.source:
        return [(None, to_pod)]
    inner = ends[0].internal_ip(pair.family)
    return [(inner, to_pod), (to_pod, inner)]


def _matches(rule: Rule, source: Address | None, target: Address) -> bool:
    """Whether a rule is about packets with these ends."""
    if rule.destination is not None and target not in rule.destination:
        return False
    return rule.source is None or (source is not None and source in rule.source)


class _Tables:
    """The tables of one machine, each made ready once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[str, list[Route]] = defaultdict(list)
        for route in routes:
            self._routes[route.table].append(route)
        self._lookups: dict[str, Lookup] = {}

    def route_to(self, table: str, target: Address) -> Route | None:
        """The route that a table has to an address."""
        if table not in self._lookups:
            self._lookups[table] = Lookup(self._routes[table], table)
        return self._lookups[table].route_to(target)

    def leads_away(self, table: str, target: Address) -> bool:
        """Whether a table has another way to an address than the main one; "" ends the lookup."""
        there = self.route_to(table, target) if table else None
        if there is None or there.type == "throw":
            return not table
        main = self.route_to("main", target)
        return main is None or (main.type, main.hops) != (there.type, there.hops)


def _networks(cluster: Cluster, addresses: Iterable[Address]) -> list[Network]:
    """The networks of the cluster that addresses are in; an address that is in none, itself."""
    known = (*cluster.pod_networks, *cluster.node_networks)
    return list(
        dict.fromkeys(
            next((network for network in known if ip in network), host(ip)) for ip in addresses
        )
    )
