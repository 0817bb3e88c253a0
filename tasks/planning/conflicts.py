"""Guards: what stands in the way of a wanted route, and what must never be done. Pure."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from tasks.common.values import Address, Network, within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.iproute.table import Lookup, Prefixes
from tasks.undo.records import STATE


@dataclass(frozen=True)
class Obstacle:
    """What stands in the way of a wanted route, and what the operator can do about it."""

    prefix: Network
    what: str
    remedy: str


def says(found: Route, wanted: Route) -> bool:
    """Whether a route leads where the wanted one does; ours by the very device, too."""
    if found.owned and found.hops != wanted.hops:
        return False
    return found.type == "unicast" and found.next_hop == wanted.next_hop


def is_ours(found: Route, via: Address, dev: str) -> bool:
    """Whether a route at the wanted prefix is the one this tool puts there."""
    there = found.hops == ((via, dev),)
    return there and found.owned and found.type == "unicast" and found.tos == "0"


def route_in_the_way(wanted: Route, route: Route) -> Obstacle:
    """A foreign route in the way of a wanted one."""
    remedy = "--replace takes it away and keeps it for rollback"
    if route.protocol == "kernel":
        dev = route.hops[0].dev if route.hops else "a device"
        remedy = f"it belongs to an address of {dev}: take that address away, or rename the range"
    return Obstacle(wanted.prefix, str(route), remedy)


def twin_in_the_way(wanted: Route, route: Route) -> Obstacle:
    """A foreign route that shares its key with another one, as `ip route append` makes them.

    `ip route restore` would put them back in another order, and the first one counts.
    """
    remedy = "several routes have its metric, and their order cannot be kept: leave one of them"
    return Obstacle(wanted.prefix, str(route), remedy)


def cannot_come_back(prefix: Network, route: Route) -> Obstacle:
    """A foreign route that a rollback could not put back as it was."""
    remedy = f"{route.unsaved}, so rollback could not put it back: take it away where it is set"
    return Obstacle(prefix, str(route), remedy)


def rule_in_the_way(wanted: Route, rule: Rule) -> Obstacle:
    """A policy rule in the way of a wanted route."""
    return Obstacle(
        wanted.prefix, f"policy rule {rule.text}", "see `ip rule`: whoever set it must exempt this"
    )


class Policy:
    """The policy rules of one machine, held against the routes that are wanted there.

    `pods` is an index of the pod CIDRs that these routes lead to.
    """

    def __init__(self, facts: Facts, cluster: Cluster, pods: Prefixes) -> None:
        self._cluster = cluster
        self._pods = pods
        self._routes: dict[str, list[Route]] = defaultdict(list)
        for route in facts.routes if facts.rules else ():
            self._routes[route.table].append(route)
        self._tables: dict[str, tuple[Lookup, dict[Network, list[Route]]]] = {}
        self._rules = {v: [r for r in facts.rules if self._meant(r, v)] for v in (4, 6)}

    def _meant(self, rule: Rule, version: int) -> bool:
        """Whether a rule is about what pods send: about any of it, or for an exemption all."""
        if rule.family != version:
            return False
        pods = [n for n in self._cluster.pod_networks if n.version == version]
        if rule.source is None:
            return True
        if rule.exempts:
            return all(within(n, (rule.source,)) for n in pods)
        return any(_overlap(rule.source, n) for n in pods)

    def over(self, wanted: Route) -> list[Rule]:
        """The rules that would send packets from pods for a wanted route elsewhere."""
        prefix = wanted.prefix
        away: dict[str, bool] = {"": True}  # by table; without one the lookup ends
        over = []
        for rule in self._rules[prefix.version]:
            if rule.exempts:
                if rule.destination is None or within(prefix, (rule.destination,)):
                    break
            elif rule.destination is None or _overlap(rule.destination, prefix):
                if rule.table not in away:
                    away[rule.table] = self._leads_away(wanted, rule.table)
                over += [rule] if away[rule.table] else []
        return over

    def _leads_away(self, wanted: Route, table: str) -> bool:
        """Whether another table has a way for some of a prefix; `throw` goes back to the rules."""
        if table not in self._tables:
            lookup = Lookup(self._routes[table], table)
            self._tables[table] = lookup, lookup.inside(self._pods)
        lookup, inside = self._tables[table]
        ways = [*lookup.over(wanted.place)[:1], *inside.get(wanted.prefix, [])]
        return any(r.type != "throw" and not says(r, wanted) for r in ways)


def _overlap(one: Network, other: Network) -> bool:
    return within(one, (other,)) or within(other, (one,))


def refusal(
    worker: Machine,
    prefix: Network,
    via: Address | None,
    facts: Facts,
    lookup: Lookup,
    cluster: Cluster,
) -> str:
    """Why there can be no route to a worker's pod CIDR."""
    if not within(prefix, cluster.pod_networks):
        networks = ", ".join(map(str, cluster.pod_networks))
        return f"{worker.name}'s pod CIDR {prefix} is outside pod_networks ({networks})"
    if via is None:
        return f"{worker.name} has no internal IPv{prefix.version} address for {prefix}"
    if any(a.ip == via for _, a in facts.addresses):
        return (
            f"{worker.name}'s internal IP {via} is an address of this machine itself: correct"
            f" internal_ip, or take that address away here"
        )
    route = lookup.route_to(via)
    way = f"goes by {route}" if route else "has no route"
    on_link = next((dev for dev, a in facts.addresses if via in a.network), "")
    if on_link:
        return (
            f"{worker.name}'s internal IP {via} is on the network of {on_link} here, but {way}: is"
            f" {on_link} up? `ip link` and `ip route` there, or `fab verify`, say more"
        )
    return (
        f"{worker.name}'s internal IP {via} is not on a link of this machine ({way});"
        " a network that routes (Hetzner Cloud, GCP) wants a route in the provider's network"
        " or by its gateway instead"
    )


def shadows(puts: Collection[Network], facts: Facts, cluster: Cluster) -> list[str]:
    """Why routes to these prefixes would cut this machine off."""
    index = Prefixes(puts)
    gateways = [(via, "its default gateway") for via in facts.gateways]
    nodes = [(ip, f"{m.name}'s internal IP") for m in cluster.machines for ip in m.internal_ips]
    internal = {ip for ip, _ in nodes}
    devices = {a.network: dev for dev, a in facts.addresses if a.ip in internal}
    networks = Prefixes(devices)
    client = [(facts.client, "your own ssh")] if facts.client else []
    return [
        f"a route to {prefix} would take away {what}, {address}"
        for address, what in [*client, *gateways, *nodes]
        if (prefix := index.over(address)) is not None
    ] + [
        f"a route to {prefix} would take away a part of its internal network {network} on"
        f" {devices[network]}"
        for prefix in puts
        for network in networks.around(prefix)
    ]


def no_manager(dev: str) -> str:
    """Why the routes by a device cannot be made to stay."""
    return (
        f"nothing is known there that would bring the routes by {dev} back after a reboot: neither"
        " systemd, NetworkManager nor ifupdown; --persist none does without"
    )


def waiting(facts: Facts) -> list[str]:
    """Why a machine must be left alone until a change on it is confirmed or gone."""
    pending = facts.pending
    if pending is None:
        return []
    if pending.failed:
        return [
            f"a change of {pending.who} from {pending.since} is being taken back, or could not be:"
            " if another hand has changed its routes since, put those right there, then"
            f" `fab rollback --last`; to leave them as they are, remove {STATE}/undoing there"
        ]
    return [
        f"a change of {pending.who} from {pending.since} waits for confirmation until"
        f" {pending.until}: `fab confirm` keeps it, `fab rollback --last` drops it"
    ]
