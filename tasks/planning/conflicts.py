"""Conflicts of wanted routes with what a machine has, and the refusals that protect it. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tasks.common.values import Address, Network, within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.iproute.table import Lookup, Prefixes
from tasks.undo.records import STATE


@dataclass(frozen=True)
class Conflict:
    """A route or policy rule that conflicts with a wanted route, and what to do about it."""

    prefix: Network  # of the wanted route
    what: str
    remedy: str


def same_next_hop(found: Route, wanted: Route) -> bool:
    """Whether a route leads to the wanted next hop; one of ours must have its device too."""
    if found.owned and found.hops != wanted.hops:
        return False
    return found.type == "unicast" and found.next_hop == wanted.next_hop


def is_ours(found: Route, via: Address, dev: str) -> bool:
    """Whether a route at the wanted prefix is exactly the one that this tool puts there."""
    same_hop = found.hops == ((via, dev),)
    return same_hop and found.owned and found.type == "unicast" and found.tos == "0"


def route_conflict(prefix: Network, route: Route) -> Conflict:
    """The conflict with a foreign route that would win, or that shares the wanted prefix."""
    remedy = "--replace removes it, and rollback puts it back"
    if route.protocol == "kernel":
        dev = route.hops[0].dev if route.hops else "a device"
        remedy = f"it belongs to an address of {dev}: remove that address, or change the pod CIDR"
    return Conflict(prefix, str(route), remedy)


def order_conflict(wanted: Route, route: Route) -> Conflict:
    """The conflict with a foreign route whose key another foreign route has too.

    `ip route append` makes such routes. The kernel uses the first, and `ip route restore` would
    put them back in another order.
    """
    remedy = (
        "another foreign route has the same prefix and metric, and rollback could not restore"
        " their order: remove all of them but one"
    )
    return Conflict(wanted.prefix, str(route), remedy)


def restore_conflict(prefix: Network, route: Route) -> Conflict:
    """The conflict with a foreign route that rollback could not put back unchanged."""
    remedy = f"rollback could not restore it, because {route.unsaved}: remove it where it is set"
    return Conflict(prefix, str(route), remedy)


def rule_conflict(wanted: Route, rule: Rule) -> Conflict:
    """The conflict with a policy rule that diverts packets from the wanted route."""
    return Conflict(
        wanted.prefix,
        f"policy rule {rule.text}",
        "it diverts packets from the main table: add an exception for this prefix where the rule"
        " is set (`ip rule` lists the rules)",
    )


class PolicyRules:
    """The policy rules of one machine, to find those that divert packets from a wanted route.

    `pods` is an index of the pod CIDRs that wanted routes lead to. A rule for packets that come in
    by a link counts if the machine sends such packets on to pods: its own, and those of its pods.
    """

    def __init__(self, facts: Facts, cluster: Cluster, pods: Prefixes) -> None:
        self._cluster = cluster
        self._pods = pods
        self._routes: dict[str, list[Route]] = defaultdict(list)
        for route in facts.routes if facts.rules else ():
            self._routes[route.table].append(route)
        self._tables: dict[str, tuple[Lookup, dict[Network, list[Route]]]] = {}
        self._links = (
            {"lo", facts.pod_bridge, *_pod_links(facts, cluster)} if facts.rules else set()
        )
        self._rules = {v: [r for r in facts.rules if self._concerns_pods(r, v)] for v in (4, 6)}

    def _concerns_pods(self, rule: Rule, version: int) -> bool:
        """Whether a rule selects packets from pods: any of them; an exemption must select all."""
        if rule.family != version or (rule.device and rule.device not in self._links):
            return False
        pods = [n for n in self._cluster.pod_networks if n.version == version]
        if rule.source is None:
            return True
        if rule.exempts:
            return all(within(n, (rule.source,)) for n in pods)
        return any(_overlap(rule.source, n) for n in pods)

    def diverting(self, wanted: Route) -> list[Rule]:
        """The rules that send packets from pods elsewhere than the wanted route does."""
        prefix = wanted.prefix
        diverts: dict[str, bool] = {"": True}  # by table; a rule without one ends the lookup
        found = []
        for rule in self._rules[prefix.version]:
            if rule.exempts:
                if rule.destination is None or within(prefix, (rule.destination,)):
                    break
            elif rule.destination is None or _overlap(rule.destination, prefix):
                if rule.table not in diverts:
                    diverts[rule.table] = self._diverts(wanted, rule.table)
                found += [rule] if diverts[rule.table] else []
        return found

    def _diverts(self, wanted: Route, table: str) -> bool:
        """Whether a table routes a part of the wanted prefix elsewhere.

        A `throw` route does not: the kernel goes on with the next rule.
        """
        if table not in self._tables:
            lookup = Lookup(self._routes[table], table)
            self._tables[table] = lookup, lookup.inside(self._pods)
        lookup, inside = self._tables[table]
        routes = [*lookup.over(wanted.place)[:1], *inside.get(wanted.prefix, [])]
        return any(r.type != "throw" and not same_next_hop(r, wanted) for r in routes)


def _pod_links(facts: Facts, cluster: Cluster) -> Iterator[str]:
    """The links with an address in pod_networks, and those that lead to pods without a next hop."""
    for dev, address in facts.addresses:
        if any(address.ip in network for network in cluster.pod_networks):
            yield dev
    for route in facts.routes:
        if within(route.prefix, cluster.pod_networks):
            yield from (hop.dev for hop in route.hops if hop.via is None)


def _overlap(one: Network, other: Network) -> bool:
    return within(one, (other,)) or within(other, (one,))


def _way_to(via: Address, lookup: Lookup) -> str:
    """How a machine reaches a next hop, in words."""
    route = lookup.route_to(via)
    return f"its route to it is {route}" if route else "it has no route to it"


def route_refusal(
    worker: Machine,
    prefix: Network,
    via: Address | None,
    facts: Facts,
    lookup: Lookup,
    cluster: Cluster,
) -> str:
    """Why a machine can have no route to a worker's pod CIDR via its internal IP."""
    if not within(prefix, cluster.pod_networks):
        networks = ", ".join(map(str, cluster.pod_networks))
        return f"{worker.name}'s pod CIDR {prefix} is outside pod_networks ({networks})"
    if via is None:
        return f"{worker.name} has no internal IPv{prefix.version} address for {prefix}"
    if any(a.ip == via for _, a in facts.addresses):
        return (
            f"{worker.name}'s internal IP {via} is an address of this machine itself: correct"
            " internal_ip in hosts.toml, or remove the address from this machine"
        )
    way = _way_to(via, lookup)
    on_link = next((dev for dev, a in facts.addresses if via in a.network), "")
    if on_link:
        return (
            f"{worker.name}'s internal IP {via} is in the network of {on_link} on this machine,"
            f" but {way}: check with `ip link` and `ip route` there that {on_link} is up, or run"
            " `fab verify`"
        )
    return (
        f"{worker.name}'s internal IP {via} is not on a link of this machine ({way}): if the"
        " provider's network routes (Hetzner Cloud, AWS), name it under [network] in hosts.toml:"
        " docs/networks.md"
    )


def gateway_refusal(
    worker: Machine,
    prefix: Network,
    via: Address | None,
    facts: Facts,
    lookup: Lookup,
    cluster: Cluster,
) -> str:
    """Why a machine can have no route to a worker's pod CIDR via the provider's gateway."""
    if via is None or not within(prefix, cluster.pod_networks):
        return route_refusal(worker, prefix, via, facts, lookup, cluster)
    way = _way_to(via, lookup)
    return (
        f"{cluster.network}'s gateway {via} is not on a link of this machine ({way}): attach the"
        " server to that network, and check that its link there is up"
    )


def lockout_refusals(puts: Collection[Network], facts: Facts, cluster: Cluster) -> list[str]:
    """Why routes to these prefixes would cut the machine off, one line for each reason."""
    index = Prefixes(puts)
    gateways = [(via, "its default gateway") for via in facts.gateways]
    nodes = [(ip, f"{m.name}'s internal IP") for m in cluster.machines for ip in m.internal_ips]
    internal = {ip for ip, _ in nodes}
    devices = {a.network: dev for dev, a in facts.addresses if a.ip in internal}
    networks = Prefixes(devices)
    client = [(facts.client, "the address that you are logged in from")] if facts.client else []
    return [
        f"a route to {prefix} would divert packets to {what}, {address}"
        for address, what in [*client, *gateways, *nodes]
        if (prefix := index.over(address)) is not None
    ] + [
        f"a route to {prefix} would divert a part of its internal network {network} from"
        f" {devices[network]}"
        for prefix in puts
        for network in networks.around(prefix)
    ]


def persist_refusal(dev: str) -> str:
    """Why the routes via a device cannot be made to survive a reboot."""
    return (
        f"no network manager (systemd, NetworkManager, ifupdown) is known there that would bring"
        f" the routes via {dev} back after a reboot; --persist none goes without"
    )


def pending_refusals(facts: Facts) -> list[str]:
    """Why a machine must not be changed while a change on it is not confirmed or undone yet."""
    pending = facts.pending
    if pending is None:
        return []
    if pending.failed:
        return [
            f"a change by {pending.who} at {pending.since} is being undone, or its undo failed:"
            " if something else has changed the machine's routes since, correct them there, then"
            f" run `fab rollback --last`; to keep the routes as they are, remove {STATE}/undoing"
            " there"
        ]
    return [
        f"a change by {pending.who} at {pending.since} waits for confirmation until"
        f" {pending.until}: `fab confirm` keeps it, `fab rollback --last` drops it"
    ]
