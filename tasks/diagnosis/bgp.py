"""Causes in BGP: sessions that are not established, and prefixes that do not come. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from tasks.bgp.sessions import Relation, reflectors
from tasks.common.text import listed
from tasks.connectivity.verdict import Pair
from tasks.inventory.model import Bgp

from .bgp_faults import Fault, bird_fault, pair_faults
from .bgp_prefixes import prefix_causes
from .bgp_sessions import Down, Unserved, down_between, sessions_down
from .faults import FaultKind, PathFault, explain
from .missing import pairs_over
from .model import Cause, Scene
from .path import merged


def bgp_causes(scene: Scene, unserved: Unserved) -> list[Cause]:
    """Why sessions are down, and why routes do not come by BGP.

    A cause that has silenced no pair yet is told too: routes stay for a while without a session.
    """
    bgp = scene.cluster.bgp
    if bgp is None:
        return []
    down = list(down_between(scene, bgp, unserved))
    needs = _Needs(scene, unserved, reflectors(scene.cluster, bgp))
    causes = [*_session_causes(scene, bgp, down, needs), *_router_causes(scene)]
    explained = {pair for cause in causes for pair in cause.pairs}
    rest = {
        name: [
            m
            for m in routes
            if not (scene.cut_off(name, m.family) or scene.cut_off(m.to, m.family))
            and not explained.issuperset(pairs_over(scene, name, [m]))
        ]
        for name, routes in unserved.items()
    }
    return [*causes, *prefix_causes(scene, bgp, rest)]


class _Needs:
    """Which pairs need which sessions."""

    def __init__(self, scene: Scene, unserved: Unserved, chosen: Collection[str]) -> None:
        self._scene, self._unserved, self._chosen = scene, unserved, chosen

    def pairs(self, ends: Iterable[tuple[str, str]]) -> tuple[Pair, ...]:
        """The silent pairs whose routes come over sessions between these machines."""
        sets = {frozenset(pair) for pair in ends}
        clients = {name for pair in sets for name in pair.difference(self._chosen)}
        pairs: dict[Pair, None] = {}
        for name, found in self._unserved.items():
            needs = [
                m
                for m in found
                if {name, m.to} in sets or (self._chosen and not clients.isdisjoint((name, m.to)))
            ]
            pairs.update(dict.fromkeys(pairs_over(self._scene, name, needs)))
        return tuple(pairs)


def _session_causes(scene: Scene, bgp: Bgp, down: Sequence[Down], needs: _Needs) -> Iterator[Cause]:
    """Why sessions are down. A fault that several machines have is one cause."""
    passwords = Counter(f.bird.password for f in scene.facts.values() if f.bird.running)
    found: dict[Fault, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    between: dict[PathFault, list[tuple[str, str]]] = defaultdict(list)
    for pair in down:
        alone = [(end.name, fault) for end in pair if (fault := bird_fault(end))]
        faults = alone or pair_faults(scene, bgp, pair, passwords)
        for name, fault in faults:
            found[fault][name].append(pair.names)
        if not faults:
            between[_path_fault(scene, pair)].append(pair.names)
    for fault, where in found.items():
        pairs = needs.pairs(ends for those in where.values() for ends in those)
        name = next(iter(where)) if len(where) == 1 else ""
        words = f"{listed(where)}: {fault.words}"
        yield Cause(name, words, fault.remedy, pairs, loses=bool(pairs))
    for path, those in merged(between).items():
        pairs = needs.pairs(those)
        if path.kind is FaultKind.LINK:
            pairs = tuple(p for p in scene.silent if path.concerns(p.source, p.target))
        if pairs or path.kind is not FaultKind.LINK:
            words, remedy = explain(scene, path, pairs)
            yield Cause(path.machine, words, remedy, pairs, loses=bool(pairs))


def _path_fault(scene: Scene, pair: Down) -> PathFault:
    """What is lost between two machines of which neither says why there is no session."""
    silent = any(
        end.session.remote in scene.evidence[end.name].silent
        for end in pair
        if end.name in scene.evidence
    )
    return PathFault(FaultKind.LINK if silent else FaultKind.BGP, *pair.names)


def _router_causes(scene: Scene) -> Iterator[Cause]:
    """Sessions with routers outside the cluster that are down. Nobody can ask their other end."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, session in sessions_down(scene.cluster, scene.facts):
        bird = scene.facts[name].bird
        if session.relation is Relation.ROUTER and bird.running:
            state = next((s for s in bird.sessions if s.remote == session.remote), None)
            said = (state.why or state.state) if state else "nothing of it"
            found[f"no session with the router {session.remote}, and BIRD says {said}"].append(name)
    for words, names in found.items():
        remedy = "compare with the router: its address, as_number, password, TTL security and port"
        name = names[0] if len(names) == 1 else ""
        yield Cause(name, f"{listed(names)}: {words}", remedy, (), loses=False)
