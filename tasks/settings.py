"""Causes that stand in the machines' own tables and settings. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .cluster import Address
from .diagnosis import SYSCTLS, Cause, Scene, listed
from .lookup import Lookup
from .pairs import Pair

_Of = Callable[[Pair], bool]


def settings_causes(scene: Scene) -> list[Cause]:
    """The causes that stand in the machines' own tables and settings."""
    causes = []
    off = set()
    for name in _involved(scene.silent):
        for machine_cause in _links(scene, name):
            causes.append(machine_cause)
            off.add(name)
    lacking = {name: _lacking(scene, name) for name in _involved(scene.silent) if name not in off}
    causes += _routes(scene, lacking)
    for name in _involved(scene.silent):
        causes += _switched_off(scene, name)
    return [cause for cause in causes if cause.pairs]


def _involved(pairs: Iterable[Pair]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in (pair.source, pair.target)))


def _cause(pairs: Iterable[Pair], of: _Of, machine: str, words: str, remedy: str) -> Cause:
    return Cause(machine, words, remedy, tuple(pair for pair in pairs if of(pair)))


def _at_pods(name: str, family: int = 0) -> _Of:
    """The pairs whose packets a machine has to forward to or from its pods."""

    def of(pair: Pair) -> bool:
        there = pair.target == name or (pair.source == name and pair.from_pod)
        return there and family in (0, pair.family)

    return of


def _links(scene: Scene, name: str) -> Iterator[Cause]:
    """Its internal network is off: routes over it are gone with it, and are not what to mend."""
    evidence = scene.evidence.get(name)
    families = dict.fromkeys(pair.family for pair in scene.silent)
    for device in dict.fromkeys(scene.device(name, family) for family in families):
        link = evidence.links.get(device) if evidence else None
        if link is None or (link.on and link.carrier):
            continue
        words, remedy = (
            (f"{name}: {device} has no carrier", "check its cable and its port")
            if link.on
            else (f"{name}: {device} is switched off", f"there: ip link set {device} up")
        )
        both = [pair for pair in scene.silent if name in (pair.source, pair.target)]
        yield Cause(name, words, f"{remedy}; then fab apply-routes", tuple(both))


def _switched_off(scene: Scene, name: str) -> Iterator[Cause]:
    """What keeps a machine from forwarding at all: its settings, its bridge."""
    evidence = scene.evidence.get(name)
    if evidence is None:
        return
    bridge = scene.facts[name].pod_bridge
    link = evidence.links.get(bridge)
    if link is not None and not link.on:
        words = f"{name}: its pod bridge {bridge} is switched off"
        up = f"there: ip link set {bridge} up"
        yield _cause(scene.silent, _at_pods(name), name, words, up)
    for family in dict.fromkeys(pair.family for pair in scene.silent):
        found = (evidence.forwards(family, dev) for dev in (scene.device(name, family), bridge))
        setting = next(filter(None, found), "")
        if setting:
            words = f"{name} does not forward IPv{family}: {setting} is 0"
            on = f"there: {setting} = 1 in {SYSCTLS}, then sysctl --system"
            yield _cause(scene.silent, _at_pods(name, family), name, words, on)


@dataclass(frozen=True)
class _Lack:
    """A route that a machine lacks."""

    to: str
    family: int
    instead: Address | None  # where it sends those packets, None for nowhere but a default route
    foreign: bool


def _lacking(scene: Scene, name: str) -> list[_Lack]:
    """The workers whose pods a machine has no route to, or a wrong one."""
    lookup = Lookup(scene.facts[name].routes)
    found = []
    for worker in scene.cluster.workers:
        if worker.name == name:
            continue
        for cidr in worker.pod_cidrs:
            via = worker.internal_ip(cidr.version)
            route = lookup.route_to(cidr[1])
            if route is None or route.prefix.prefixlen == 0:
                found.append(_Lack(worker.name, cidr.version, None, foreign=False))
            elif route.next_hop != via:
                found.append(_Lack(worker.name, cidr.version, route.next_hop, not route.owned))
    return found


def _routes(scene: Scene, lacking: Mapping[str, Sequence[_Lack]]) -> Iterator[Cause]:
    """What lacks, by machine; where every machine lacks every route, that is one cause."""
    workers = [w.name for w in scene.cluster.workers if w.name in lacking]
    nothing = all(
        {lack.to for lack in lacking[name] if lack.instead is None} >= set(workers) - {name}
        for name in workers
    )
    if workers and nothing:
        words = "no worker has a route to the others' pods"
        yield Cause("", words, "fab apply-routes", tuple(scene.silent))
        return
    for name, lacks in lacking.items():
        missing = [lack for lack in lacks if lack.instead is None]
        if missing:
            yield Cause(
                name,
                f"{name} has no route to the pods of {listed(lack.to for lack in missing)}",
                "fab apply-routes",
                _over(scene, name, missing),
            )
        for lack in lacks:
            if lack.instead is not None:
                via = scene.cluster.machine(lack.to).internal_ip(lack.family)
                words = f"{name} sends packets for {lack.to}'s pods via {lack.instead}, not {via}"
                command = f"fab apply-routes{' --replace' if lack.foreign else ''}"
                yield Cause(name, words, command, _over(scene, name, [lack]))


def _over(scene: Scene, name: str, lacks: Iterable[_Lack]) -> tuple[Pair, ...]:
    """The pairs whose requests, or the answers to them, take these routes of a machine."""
    ways = {(lack.to, lack.family) for lack in lacks}
    return tuple(
        pair
        for pair in scene.silent
        if (pair.source == name and (pair.target, pair.family) in ways)
        or (pair.target == name and pair.from_pod and (pair.source, pair.family) in ways)
    )
