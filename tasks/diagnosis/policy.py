"""Causes in policy rules: those that divert pod traffic before the main table is asked. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from tasks.common.values import Address, Network, host
from tasks.connectivity.verdict import Pair
from tasks.inventory.model import Cluster
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.iproute.table import Lookup

from .model import Cause, Scene
from .remedy import Remedy

ProbeAddresses = Mapping[str, Mapping[int, Address]]  # by machine and IP version

_Ends = tuple[Address | None, Address | None]  # source and destination


def policy_causes(scene: Scene, name: str, probed: ProbeAddresses) -> Iterator[Cause]:
    """The policy rules of a machine that divert packets of silent pairs."""
    facts = scene.facts[name]
    devices = {v: {scene.device(name, v), facts.pod_bridge} for v in (4, 6)}
    rules = {
        v: [r for r in facts.rules if r.family == v and _applies(r, devices[v])] for v in (4, 6)
    }
    tables = _Tables(facts.routes)
    diverted: dict[Rule, dict[Pair, list[Address]]] = defaultdict(dict)  # with the destinations
    for pair in scene.silent_by_end.get(name, ()) if facts.rules else ():
        for source, target in _sent_on(scene, name, pair, probed):
            if target is not None:
                for rule in _diverting(rules[pair.family], tables, source, target):
                    diverted[rule].setdefault(pair, []).append(target)
    for rule in (r for r in dict.fromkeys(facts.rules) if r in diverted):
        targets = [target for found in diverted[rule].values() for target in found]
        ip = "ip rule" if rule.family == 4 else "ip -6 rule"
        exempt = [f"{ip} add to {net} lookup main" for net in _networks(scene.cluster, targets)]
        yield Cause(
            name,
            f"a policy rule on {name} diverts pod traffic before the main table: {rule.text}",
            Remedy(f"{name}, and where that rule is configured", tuple(exempt)),
            tuple(diverted[rule]),
        )


def _diverting(
    rules: Iterable[Rule], tables: "_Tables", source: Address | None, target: Address
) -> Iterator[Rule]:
    """The rules that divert packets with these ends, up to the first rule that exempts them."""
    for rule in rules:
        if _matches(rule, source, target):
            if rule.exempts:
                return
            if tables.leads_away(rule.table, target):
                yield rule


def _applies(rule: Rule, devices: Collection[str]) -> bool:
    """Whether a rule exempts packets, or selects those that come in by one of these devices."""
    return rule.exempts or ("not" not in rule.text.split() and _comes_in(rule, devices))


def _comes_in(rule: Rule, devices: Collection[str]) -> bool:
    """Whether a rule selects packets that come in by one of these devices, or by any device."""
    return not rule.device or rule.device in devices


def _sent_on(scene: Scene, name: str, pair: Pair, probed: ProbeAddresses) -> list[_Ends]:
    """The packets of a pair that a machine at one of its ends sends on: requests and answers."""
    ends = [scene.cluster.machine(end) for end in (pair.source, pair.target)]
    from_pod, to_pod = (probed[end.name].get(pair.family) for end in ends)
    if pair.from_pod:
        return [(from_pod, to_pod), (to_pod, from_pod)]
    # The kernel looks up the route of a machine's own packet before the packet has a source.
    if name == pair.source:
        return [(None, to_pod)]
    inner = ends[0].internal_ip(pair.family)
    return [(inner, to_pod), (to_pod, inner)]


def _matches(rule: Rule, source: Address | None, target: Address) -> bool:
    """Whether a rule selects packets with these ends."""
    if rule.destination is not None and target not in rule.destination:
        return False
    return rule.source is None or (source is not None and source in rule.source)


class _Tables:
    """The routing tables of one machine. Each is prepared for lookups once, when it is needed."""

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
        """Whether a table routes an address differently than the main table does.

        The table "" stands for a rule that ends the lookup, such as `prohibit`.
        """
        there = self.route_to(table, target) if table else None
        if there is None or there.type == "throw":
            return not table
        main = self.route_to("main", target)
        return main is None or (main.type, main.hops) != (there.type, there.hops)


def _networks(cluster: Cluster, addresses: Iterable[Address]) -> list[Network]:
    """The cluster's networks that contain the addresses; else the address as a network."""
    known = (*cluster.pod_networks, *cluster.node_networks)
    return list(
        dict.fromkeys(
            next((network for network in known if ip in network), host(ip)) for ip in addresses
        )
    )
