"""The sessions of BGP that are down, seen from both ends. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from tasks.bgp.bird import SessionState
from tasks.bgp.details import NO_DETAILS, BirdDetails, SessionDetails
from tasks.bgp.sessions import Relation, Session, sessions
from tasks.facts.model import Facts
from tasks.inventory.model import Bgp, Cluster

from .missing import MissingRoute
from .model import Scene

Unserved = Mapping[str, Sequence[MissingRoute]]  # by machine: the routes that do not come by BGP


class End(NamedTuple):
    """One end of a session: a machine, its BIRD, and what that says of the session."""

    name: str
    session: Session
    facts: Facts
    bird: BirdDetails

    @property
    def state(self) -> SessionState | None:
        """The session as BIRD sees it; None if it does not know it."""
        states = self.bird.states or self.facts.bird.sessions
        return next((s for s in states if s.remote == self.session.remote), None)

    @property
    def details(self) -> SessionDetails:
        """More of what BIRD says of it."""
        return self.bird.sessions.get(self.session.remote, SessionDetails())


class Down(NamedTuple):
    """A session that is not established, from both ends."""

    one: End
    other: End

    @property
    def names(self) -> tuple[str, str]:
        """The machines at its ends."""
        return self.one.name, self.other.name


def sessions_down(cluster: Cluster, facts: Mapping[str, Facts]) -> list[tuple[str, Session]]:
    """The sessions that are down at one end, where both ends should speak BGP by now."""
    bgp = cluster.bgp
    speaking = [m for m in cluster.machines if m.name in facts and facts[m.name].bird.there]
    names = {m.name for m in speaking}
    return [
        (machine.name, session)
        for machine in (speaking if bgp else ())
        for session in (sessions(cluster, bgp, machine) if bgp else ())
        if session.neighbor in names or session.relation is Relation.ROUTER
        if not any(
            s.established and s.remote == session.remote for s in facts[machine.name].bird.sessions
        )
    ]


def down_between(scene: Scene, bgp: Bgp, unserved: Unserved) -> Iterator[Down]:
    """The sessions between machines that are not established at both ends.

    A machine without this tool's BIRD counts only if routes are missing because of it: a cluster
    may stand half way.
    """
    ends: dict[tuple[str, str, Literal[4, 6]], End] = {}
    for machine in scene.cluster.machines:
        facts = scene.facts.get(machine.name)
        if facts is None:
            continue
        evidence = scene.evidence.get(machine.name)
        bird = evidence.bird if evidence else NO_DETAILS
        for session in sessions(scene.cluster, bgp, machine):
            family = session.local.version
            ends[machine.name, session.neighbor, family] = End(machine.name, session, facts, bird)
    missing = {frozenset((name, m.to)) for name, found in unserved.items() for m in found}
    for (name, neighbor, family), end in ends.items():
        other = ends.get((neighbor, name, family))
        if other is None or name > neighbor:
            continue
        there = end.facts.bird.there and other.facts.bird.there
        if not there and not any({name, neighbor} & lost for lost in missing):
            continue
        cut = scene.cut_off(name, family) or scene.cut_off(neighbor, family)
        up = all(e.state is not None and e.state.established for e in (end, other))
        if not cut and not up:
            yield Down(end, other)
