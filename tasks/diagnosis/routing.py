"""Causes in the machines' routing tables: routes that are missing or lead elsewhere. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tasks.bgp.bird import is_of_bgp
from tasks.common.text import listed
from tasks.connectivity.probe import probes
from tasks.iproute.route import Route
from tasks.iproute.table import Lookup

from .bgp import bgp_causes
from .missing import leads_elsewhere, missing_routes, pairs_over, probe_addresses
from .model import Cause, Scene
from .policy import policy_causes
from .remedy import Remedy


def route_causes(scene: Scene, names: Sequence[str]) -> Iterator[Cause]:
    """What is wrong with the routes and policy rules of some machines.

    Where no worker has any route to the others' pods, that is one cause, and the only one.
    """
    probed = {
        w.name: probe_addresses(w, scene.facts[w.name])
        for w in scene.cluster.machines
        if w.name in scene.facts
    }
    missing = {name: missing_routes(scene, name, probed) for name in names}
    speaking = any(found.bird.there for found in scene.facts.values())
    if scene.cluster.bgp and speaking:
        unserved = {
            name: [m for m in found if m.instead is None or is_of_bgp(m.instead)]
            for name, found in missing.items()
        }
        yield from bgp_causes(scene, unserved)
        missing = {
            name: [m for m in found if m not in unserved[name]] for name, found in missing.items()
        }
    absent = {name: [m for m in found if m.instead is None] for name, found in missing.items()}
    workers = {w.name for w in scene.cluster.workers if w.name in scene.facts}
    if len(workers) > 1 and all(
        {m.to for m in absent.get(name, ())} >= workers - {name} for name in workers
    ):
        words = "no worker has a route to the others' pods"
        yield Cause("", words, "fab apply-routes", tuple(scene.silent))
        return
    for name, found in missing.items():
        if absent[name]:
            yield Cause(
                name,
                f"{name} has no route to the pods of {listed(m.to for m in absent[name])}",
                "fab apply-routes",
                pairs_over(scene, name, absent[name]),
            )
        for route in found:
            if route.instead is not None:
                via = scene.next_hop(scene.cluster.machine(route.to), route.family)
                words = f"{name} sends packets for {route.to}'s pods {_way(route.instead)}"
                words += f", not via {via}" if via else ""
                pairs = pairs_over(scene, name, [route])
                yield Cause(name, words, _replace(route.instead), pairs)
    for name in names:
        yield from _own_pods(scene, name)
        yield from policy_causes(scene, name, probed)


def unplanned_routes(scene: Scene) -> dict[str, str]:
    """The routes in use that are not the planned ones and where no packet was lost, by machine.

    Such a route works because another machine forwards what it gets. It is a line for a machine.
    """
    probed = {
        name: probe_addresses(scene.cluster.machine(name), f) for name, f in scene.facts.items()
    }
    lost = {
        (*ends, pair.family)
        for pair in scene.silent
        for ends in ((pair.source, pair.target), (pair.target, pair.source))
    }
    lines = {}
    for name in scene.facts:
        missing = missing_routes(scene, name, probed)
        found = [m for m in missing if (name, m.to, m.family) not in lost]
        if found:
            workers = list(dict.fromkeys(m.to for m in found))
            several = f"the pods of {listed(workers)}"
            pods = several if len(workers) > 1 else f"{workers[0]}'s pods"
            instead = found[0].instead
            way = _way(instead) if instead else "by its default route or a policy rule"
            planned = scene.next_hop(scene.cluster.machine(found[0].to), found[0].family)
            than = f", not via {planned}" if planned else ""
            such = "another way than planned: for one, " if len(found) > 1 else ""
            lines[name] = f"{name} sends packets for {pods} {such}{way}{than}"
    return lines


def part_causes(scene: Scene) -> list[Cause]:
    """Routes that lead a part of a worker's pods elsewhere, where no probe is in that part.

    Such routes of one machine that lead the same way are one cause.
    """
    cluster, facts = scene.cluster, scene.facts
    owners = {cidr: worker for worker in cluster.workers for cidr in worker.pod_cidrs}
    lengths = {(cidr.version, cidr.prefixlen) for cidr in owners}
    probed = {name: probe_addresses(cluster.machine(name), found) for name, found in facts.items()}
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
                address = probed[worker.name].get(version)
                unseen = address is None or address not in prefix
                if unseen and leads_elsewhere(route, scene.next_hop(worker, version)):
                    way = _way(route) if route.type == "unicast" else f"nowhere ({route.type})"
                    parts[worker.name, way, _replace(route)].append(route)
        for (owner, common, remedy), routes in parts.items():
            prefixes = listed(str(route.prefix) for route in routes)
            alone = len(routes) == 1
            part, way = ("a part", _way(routes[0])) if alone else ("parts", common)
            words = f"{name} sends packets for {prefixes}, {part} of {owner}'s pods"
            causes.append(Cause(name, f"{words}, {way}", remedy, ()))
    return causes


def _way(route: Route) -> str:
    """Where a route leads, in words."""
    if route.type != "unicast":
        return f"nowhere ({route.type} {route.prefix})"
    if len(route.hops) != 1:
        return "via several next hops" if route.hops else "via a next hop object"
    return f"via {route.next_hop}" if route.next_hop else f"to the link of {route.hops[0].dev}"


def _replace(route: Route) -> str:
    """The command that replaces a route by the wanted one."""
    return f"fab apply-routes{'' if route.owned else ' --replace'}"


def _own_pods(scene: Scene, name: str) -> Iterator[Cause]:
    """Routes of a machine that lead packets for its own pods away from its pod bridge."""
    facts = scene.facts[name]
    bridge = scene.link(name, facts.pod_bridge)
    if bridge is not None and not bridge.on:
        return  # the kernel removes the route with the link: the link is the cause
    lookup = Lookup(facts.routes)
    for probe in probes(scene.cluster.machine(name), facts):
        route = lookup.route_to(probe.address)
        if probe.gateway is None or (route and route.hops and route.hops[0].via is None):
            continue
        pairs = scene.silent_through(name, probe.address.version)
        add = f"ip route add {probe.pod_cidr} dev {facts.pod_bridge}"
        remedy: Remedy | str
        if route is None or route.prefix.prefixlen == 0:
            words, remedy = f"{name} has no route to its own pods", Remedy(name, (add,))
        else:
            words = f"{name} sends packets for its own pods {_way(route)}"
            adds = (add,) if route.prefix == probe.pod_cidr else ()
            if not route.owned:
                remedy = Remedy(name, (f"ip route del {route}", *adds))
            else:
                remedy = f"fab apply-routes; {Remedy(name, adds)}" if adds else "fab apply-routes"
        yield Cause(name, words, remedy, pairs)
