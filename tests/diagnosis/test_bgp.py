"""Causes in BGP from values: who is blamed, which pairs it explains, and what is no fault."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from tasks.bgp.bird import Bird, SessionState
from tasks.bgp.bird_conf import METRIC, bird_conf
from tasks.bgp.details import BirdDetails, SessionDetails
from tasks.bgp.sessions import sessions
from tasks.common.values import address, network
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.bgp_sessions import sessions_down
from tasks.diagnosis.evidence import Evidence, Link
from tasks.diagnosis.firewall import read_firewall
from tasks.diagnosis.links import settings_causes
from tasks.diagnosis.model import Scene
from tasks.diagnosis.result import start
from tasks.facts.model import Facts
from tasks.inventory.model import Bgp, Cluster, Router
from tests.builders import DEV, cluster, facts, node, pods

Change = Callable[[Bird, BirdDetails], tuple[Bird, BirdDetails]]
SPEAKING = replace(cluster(4), bgp=Bgp())
REFLECTED = replace(cluster(4, 2), bgp=Bgp(reflectors=("controller-4", "controller-5")))
EDGE = replace(cluster(4), bgp=Bgp(routers=(Router(address("10.240.0.1"), 65001),)))


def name(number: int) -> str:
    return f"worker-{number}"


def by_bgp(number: int) -> str:
    return f"{pods(number)} via {node(number)} dev {DEV} proto bird metric {METRIC}"


def known(of: Cluster, number: int, down: Iterable[int]) -> tuple[Bird, BirdDetails]:
    """A machine's BIRD that is as it should be, but that sessions with these are down."""
    machine, bgp = of.machines[number], of.bgp or Bgp()
    gone = {node(n) for n in down}
    states = tuple(
        SessionState(s.remote, "Connect" if str(s.remote) in gone else "Established", "10:00")
        for s in sessions(of, bgp, machine)
    )
    every = {s.remote: SessionDetails(64512, s.remote_as, 1) for s in sessions(of, bgp, machine)}
    routes = {network(pods(n)): (node(n) if n != number else "own4",) for n in range(4)}
    bird = Bird("2.0.12", conf=bird_conf(of, bgp, machine), running=True, sessions=states)
    return bird, BirdDetails("", "", node(number), states, every, routes)


def scene(
    of: Cluster,
    changes: Mapping[int, Change],
    lacks: Sequence[tuple[int, int]] = (),
    firewalls: Mapping[int, str] | None = None,
    down: Iterable[tuple[int, int]] | None = None,
) -> Scene:
    """A cluster in which these machines' BIRDs are changed, and their sessions are down.

    `lacks`: the pairs of workers of which the first has no route to the second's pods; they are
    silent. `firewalls`: by machine, a rule. `down`: the sessions that are down.
    """
    every = range(len(of.machines))
    ended = {frozenset(pair) for pair in down or [(a, b) for a in changes for b in every if a != b]}
    found: dict[str, Facts] = {}
    evidence: dict[str, Evidence] = {}
    for number, machine in enumerate(of.machines):
        gone = [other for pair in ended if number in pair for other in pair - {number}]
        bird, details = known(of, number, gone)
        bird, details = changes.get(number, same)(bird, details)
        lines = [by_bgp(n) for n in range(4) if n != number and (number, n) not in lacks]
        found[machine.name] = facts(number, *lines, bird=bird)
        firewall = {4: read_firewall((firewalls or {}).get(number, "nft\ncomplete").split("\n"), 4)}
        evidence[machine.name] = Evidence({}, {}, firewall, bird=details)
    silent = {*lacks, *((b, a) for a, b in lacks)}
    pairs = [
        Pair(name(a), name(b), 4, True, *(("silent", 0) if (a, b) in silent else ("ok", 3)))
        for a, b in permutations(range(4), 2)
    ]
    return Scene(of, found, evidence, pairs)


def same(bird: Bird, details: BirdDetails) -> tuple[Bird, BirdDetails]:
    return bird, details


def has(**more: object) -> Change:
    return lambda bird, details: (replace(bird, **more), details)  # type: ignore[arg-type]


def says(**more: object) -> Change:
    return lambda bird, details: (bird, replace(details, **more))  # type: ignore[arg-type]


def edited(old: str, new: str) -> Change:
    return lambda bird, details: (replace(bird, conf=bird.conf.replace(old, new)), details)


def in_as(number: int) -> Change:
    def change(bird: Bird, details: BirdDetails) -> tuple[Bird, BirdDetails]:
        every = {ip: replace(s, local_as=number) for ip, s in details.sessions.items()}
        return edited("as 64512", f"as {number}")(bird, replace(details, sessions=every))

    return change


def in_state(state: str, why: str = "") -> Change:
    def change(bird: Bird, details: BirdDetails) -> tuple[Bird, BirdDetails]:
        states = tuple(replace(s, state=state, why=why) for s in details.states)
        return replace(bird, sessions=states), replace(details, states=states)

    return change


DROP = """\
program iptables nft
*filter
:INPUT ACCEPT [0:0]
[7:420] -A INPUT -p tcp -j DROP
nft
complete"""
ONE_WAY = DROP.replace("-p tcp", "-p tcp -m tcp --dport 179")
CLOSED = "BGP gets no answer between worker-1 and the others: TCP port 179 is closed on the network"
NOT_YET = DROP.replace("[7:420]", "[0:0]")


@pytest.mark.parametrize(
    ("changes", "firewalls", "told"),
    [
        ({1: has(version="", running=False)}, {}, "worker-1: BIRD is not installed"),
        ({1: has(running=False)}, {}, "worker-1: BIRD does not run"),
        (
            {1: has(running=False), 2: has(running=False)},
            {},
            "worker-1, worker-2: BIRD does not run",
        ),
        (
            {1: lambda b, d: (replace(b, running=False), replace(d, hangs="7"))},
            {},
            "worker-1: BIRD hangs",
        ),
        (
            {1: lambda b, d: (replace(b, running=False), replace(d, refuses="bird.conf:3:1 x"))},
            {},
            "worker-1: BIRD refuses its configuration: bird.conf:3:1 x",
        ),
        (
            {1: has(password="b" * 64)},
            {},
            "worker-1: another password for BGP than on other machines",
        ),
        ({1: in_as(65000)}, {}, "worker-1: BIRD has AS 65000, and hosts.toml 64512"),
        (
            {1: edited("ttl security on", "ttl security off")},
            {},
            "worker-1: BIRD has TTL security off",
        ),
        ({1: in_state("down")}, {}, "worker-1: BIRD has disabled sessions"),
        (
            {1: lambda b, d: (replace(b, sessions=()), replace(d, states=d.states[:0]))},
            {},
            "worker-1: BIRD has an older configuration, without some sessions",
        ),
        (
            {1: same},
            {1: DROP},
            "worker-1: its firewall drops BGP, TCP port 179: iptables, -A INPUT -p tcp -j DROP",
        ),
        (
            {1: same},
            {1: ONE_WAY},
            CLOSED,
        ),
        (
            {1: same},
            {1: NOT_YET},
            CLOSED,
        ),
        (
            {1: in_state("Connect", "BGP Error: Hold timer expired")},
            {},
            CLOSED,
        ),
        (
            dict.fromkeys(range(4), same),
            {},
            "BGP gets no answer between the machines: TCP port 179 is closed on the network",
        ),
    ],
)
def test_why_a_session_is_down(
    changes: Mapping[int, Change], firewalls: Mapping[int, str], told: str
) -> None:
    """No packet is lost yet: it is told, and verify does not fail."""
    of = scene(SPEAKING, changes, (), firewalls)
    causes = settings_causes(of)
    assert [c.words for c in causes] == [told]
    assert not any(c.pairs or c.loses for c in causes)
    assert replace(start(SPEAKING, rehearsal=True), pairs=of.pairs, causes=causes).ok


def test_a_router_id_of_another_machine_is_told_of_both() -> None:
    of = scene(SPEAKING, {1: says(router_id=node(0))}, down=[(0, 1)])
    assert [c.words for c in settings_causes(of)] == [
        f"worker-0, worker-1: BIRD has the same router ID there, {node(0)}"
    ]


def test_what_bird_itself_says_is_told_where_nothing_else_is_wrong() -> None:
    error = "BGP Error: Bad BGP identifier"
    of = scene(SPEAKING, {1: in_state("Idle", error)}, down=[(1, 0)])
    assert f"worker-1: no session with worker-0, and BIRD says {error}" in [
        c.words for c in settings_causes(of)
    ]


def test_a_lost_route_is_explained_by_its_session_and_no_other() -> None:
    lacks = [(0, 1), (1, 0), (2, 3), (3, 2)]
    of = scene(SPEAKING, {1: has(running=False), 3: has(password="b" * 64)}, lacks)
    found = {
        c.words.partition(":")[0]: {(p.source, p.target) for p in c.pairs}
        for c in settings_causes(of)
    }
    assert found == {
        "worker-1": {(name(0), name(1)), (name(1), name(0))},
        "worker-3": {(name(2), name(3)), (name(3), name(2))},
    }
    assert not replace(start(SPEAKING, rehearsal=True), causes=settings_causes(of)).ok


def test_with_reflectors_a_session_carries_the_routes_of_all() -> None:
    lacks = [(0, 1), (1, 0)]
    down = [(1, 4), (1, 5)]
    of = scene(REFLECTED, {1: has(password="b" * 64)}, lacks, down=down)
    (cause,) = settings_causes(of)
    assert cause.words == "worker-1: another password for BGP than on other machines"
    assert len(cause.pairs) == 2
    both = {4: has(running=False), 5: has(running=False)}
    of = scene(REFLECTED, both, list(permutations(range(4), 2)))
    (cause,) = settings_causes(of)
    assert cause.words == "controller-4, controller-5: BIRD does not run"
    assert len(cause.pairs) == 12


@pytest.mark.parametrize("lacks", [[], [(0, 1), (1, 0)]])
def test_a_machine_that_has_not_begun_is_told_only_where_routes_need_it(
    lacks: list[tuple[int, int]],
) -> None:
    none: Change = lambda bird, details: (Bird("2.0.12"), BirdDetails())  # noqa: E731
    of = scene(SPEAKING, {1: none}, lacks)
    told = [c.words for c in settings_causes(of)]
    assert told == (["worker-1: BIRD has no configuration"] if lacks else [])
    down = sessions_down(SPEAKING, of.facts)
    assert not down


def with_routes(change: Mapping[int, Mapping[int, tuple[str, ...]]]) -> Mapping[int, Change]:
    """Machines whose BIRDs know these prefixes otherwise: by worker, from whom."""

    def changed(more: Mapping[int, tuple[str, ...]]) -> Change:
        return lambda b, d: (
            b,
            replace(d, routes={**d.routes, **{network(pods(n)): w for n, w in more.items()}}),
        )

    return {number: changed(more) for number, more in change.items()}


def limited(**more: object) -> Change:
    def change(bird: Bird, details: BirdDetails) -> tuple[Bird, BirdDetails]:
        every = {ip: replace(s, **more) for ip, s in details.sessions.items()}  # type: ignore[arg-type]
        routes = {n: w for n, w in details.routes.items() if n != network(pods(1))}
        return bird, replace(details, sessions=every, routes=routes)

    return change


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (with_routes({1: {1: ()}}), f"nobody announces {pods(1)}, worker-1's pods"),
        (
            with_routes({2: {1: ("own4", node(1))}}),
            f"{pods(1)}, worker-1's pods, is announced by worker-1, worker-2",
        ),
        ({0: limited(filtered=2)}, f"worker-0's BIRD refuses {pods(1)}, which worker-1 announces"),
        (
            {0: limited(blocked=True)},
            f"worker-0's BIRD takes 1 prefix at most of a neighbor, and leaves out {pods(1)},"
            " worker-1's pods",
        ),
        ({0: limited()}, f"worker-1's BIRD does not announce {pods(1)} to worker-0"),
        (
            {0: same},
            f"worker-0's BIRD knows {pods(1)}, worker-1's pods, and its kernel has no route",
        ),
    ],
)
def test_why_a_prefix_has_not_come(changes: Mapping[int, Change], told: str) -> None:
    of = scene(SPEAKING, changes, [(0, 1)], down=[(9, 9)])
    (cause,) = settings_causes(of)
    assert cause.words == told
    assert len(cause.pairs) == 2


def test_a_router_outside_is_told_in_birds_words() -> None:
    of = scene(EDGE, {}, down=[(0, -5)])
    assert [c.words for c in settings_causes(of)] == [
        "worker-0: no session with the router 10.240.0.1, and BIRD says Connect"
    ]


def test_where_the_link_is_cut_that_is_the_cause_and_not_the_port() -> None:
    of = scene(SPEAKING, {1: same}, [(1, 0), (0, 1)])
    evidence = dict(of.evidence)
    evidence[name(0)] = replace(evidence[name(0)], silent=frozenset({address(node(1))}))
    causes = settings_causes(replace(of, evidence=evidence))
    link = "worker-0 and worker-1 do not reach each other on the link of their internal IPs"
    assert (link, 2) in [(c.words, len(c.pairs)) for c in causes]
    down = {DEV: Link(on=True, carrier=False, mtu=1500)}
    evidence[name(1)] = replace(evidence[name(1)], links=down)
    causes = settings_causes(replace(of, evidence=evidence))
    assert [c.words for c in causes] == [f"worker-1: {DEV} has no carrier"]


def test_no_session_is_told_of_where_routes_are_static() -> None:
    of = scene(SPEAKING, {1: has(running=False)})
    static = replace(of, cluster=cluster(4))
    assert settings_causes(static) == []
    assert sessions_down(static.cluster, static.facts) == []
