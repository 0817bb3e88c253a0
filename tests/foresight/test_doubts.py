"""The pairs of which nobody can say whether they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_interface

from tasks.connectivity.verdict import Pair, Verdict
from tasks.facts.model import Facts
from tasks.facts.survey import Survey
from tasks.foresight.doubts import doubts
from tasks.snapshots.gap import Gap, of_route
from tasks.snapshots.model import Link, State, Tables
from tests.builders import DEV, cluster, facts, node, pods, wanted

MAIN = "32766:\tfrom all lookup 254 proto kernel"
BOTH = {("worker-1", "worker-0"), ("worker-0", "worker-1")}
WITH_0 = {*BOTH, ("worker-0", "worker-2"), ("worker-2", "worker-0")}
ALL = {*WITH_0, ("worker-1", "worker-2"), ("worker-2", "worker-1")}


def pair(source: int, target: int, verdict: Verdict = "ok", family: int = 4) -> Pair:
    return Pair(f"worker-{source}", f"worker-{target}", family, from_pod=True, verdict=verdict)


PAIRS = [pair(a, b) for a in range(3) for b in range(3) if a != b]


def unsure(
    gaps: Mapping[str, Sequence[Gap]],
    rules: Sequence[str] = (MAIN,),
    instead: Mapping[int, Facts] | None = None,
) -> set[tuple[str, str]]:
    """The ends of the pairs of three workers that are in doubt."""
    found = in_doubt(PAIRS, instead or {}, gaps, rules)
    return {(p.source, p.target) for p in found}


def in_doubt(
    pairs: Sequence[Pair],
    instead: Mapping[int, Facts],
    gaps: Mapping[str, Sequence[Gap]] | None = None,
    rules: Sequence[str] = (MAIN,),
    families: Sequence[int] = (4,),
) -> Mapping[Pair, str]:
    """The pairs of three workers that are in doubt, and why. `instead`: other facts of some."""
    found = {
        f"worker-{n}": facts(
            n, *(wanted(to, f) for f in families for to in range(3) if to != n), families=families
        )
        for n in range(3)
    } | {f"worker-{n}": other for n, other in instead.items()}
    tables = Tables(rules=tuple(rules))
    state = State((Link(1, "lo", 65536),), tables, tables, {})
    asked = Survey(cluster(3, families=families), found, {})
    return doubts(asked, pairs, dict.fromkeys(found, state), gaps or {})


def test_a_gap_concerns_the_pairs_of_its_machine() -> None:
    assert unsure({}) == set()
    assert unsure({"worker-0": [Gap("a rule of its firewall")]}) == WITH_0
    assert unsure({"worker-0": [Gap("a file", packets=False)]}) == set()


def test_a_link_concerns_the_pairs_whose_routes_lead_over_it() -> None:
    assert unsure({"worker-0": [Gap("a tunnel", device="wg0")]}) == set()
    assert unsure({"worker-0": [Gap("a tunnel", device=DEV)]}) == WITH_0
    over = facts(0, wanted(2), f"{pods(1)} dev wg0 proto static")
    assert unsure({"worker-0": [Gap("a tunnel", device="wg0")]}, instead={0: over}) == BOTH


def test_a_table_counts_if_a_policy_rule_looks_it_up() -> None:
    over = facts(0, wanted(1), wanted(2), "10.200.0.0/16 dev wg0 table 7")
    gaps = {"worker-0": [Gap("a tunnel", device="wg0")]}
    assert unsure(gaps, instead={0: over}) == set()
    assert unsure(gaps, [MAIN, "99:\tfrom all fwmark 0x7 lookup 7"], {0: over}) == WITH_0
    within = "99:\tfrom 10.200.0.9/16 lookup 7"  # a kernel takes and shows host bits
    assert unsure(gaps, [MAIN, within], {0: over}) == WITH_0


def test_a_route_concerns_the_pairs_with_an_address_in_it() -> None:
    def of(line: str, family: int = 4) -> dict[str, list[Gap]]:
        return {"worker-0": [of_route(family, line, "without it")]}

    assert unsure(of("10.96.0.0/12 via 10.240.0.9")) == set()
    assert unsure(of(f"blackhole {pods(1)}")) == BOTH
    assert unsure(of("default via 10.240.0.1")) == WITH_0
    assert unsure(of("default via fd00::1", 6)) == set()
    assert unsure(of("nonsense")) == WITH_0


def test_where_a_third_machine_is_on_the_way_its_gaps_concern_the_pair() -> None:
    """It may lead elsewhere by a policy rule only, or not at all."""
    gaps = {"worker-2": [Gap("a rule of its firewall")]}
    with_2 = ALL - BOTH
    assert unsure(gaps) == with_2
    around = facts(0, wanted(2), f"{pods(1)} via {node(2)} dev {DEV} proto static")
    assert unsure(gaps, instead={0: around}) == ALL
    assert unsure({"worker-2": [Gap("a tunnel", device="wg0")]}, instead={0: around}) == set()
    assert unsure({"worker-2": [Gap("a link", device=DEV)]}, instead={0: around}) == ALL


def test_what_kernels_choose_in_their_own_way() -> None:
    forks = (
        f"{pods(1)} proto static nexthop via {node(1)} dev {DEV} nexthop via {node(2)} dev {DEV}"
    )
    assert unsure({}, instead={0: facts(0, wanted(2), forks)}) == BOTH
    twice = tuple((DEV, ip_interface(f"{node(n)}/24")) for n in (0, 1))
    both = facts(0, wanted(1), wanted(2), addresses=twice)
    assert unsure({}, instead={0: both}) == BOTH | {
        ("worker-1", "worker-2"),
        ("worker-2", "worker-1"),
    }


def test_who_answers_by_a_gateway_that_is_no_machine() -> None:
    """The copy has somebody at each gateway's address, who may not be there or lead elsewhere."""
    leaving = facts(0, wanted(1), wanted(2), "default via 10.240.0.99 dev enp6s0 table 8")
    assert unsure({}, instead={0: leaving}) == set()
    assert unsure({}, [MAIN, f"99:\tfrom {pods(0)} lookup 8"], {0: leaving}) == WITH_0
    assert unsure({}, [MAIN, f"99:\tfrom all to {pods(1)} lookup 8"], {0: leaving}) == BOTH
    assert unsure({}, [MAIN, "99:\tfrom 203.0.113.10 lookup 8"], {0: leaving}) == set()


def test_what_a_machine_sends_itself_comes_back_to_its_own_address() -> None:
    """Worker 1 sends to worker 0's pods by a gateway, and to worker 0 itself directly."""
    away = facts(1, wanted(2), "default via 10.240.0.99 dev enp6s0")
    machine = replace(pair(0, 1), from_pod=False)
    assert set(in_doubt([pair(0, 1), machine], {1: away})) == {pair(0, 1)}
    of_a_pod = facts(0, wanted(2), f"{pods(1)} via {node(1)} dev {DEV} src 10.200.0.1")
    assert set(in_doubt([machine], {0: of_a_pod, 1: away})) == {machine}
    own = (("cnio0", ip_interface("10.200.0.1/24")), (DEV, ip_interface(f"{node(0)}/24")))
    unnumbered = facts(0, wanted(2), f"{pods(1)} dev wg0", addresses=own)
    assert set(in_doubt([machine], {0: unnumbered, 1: away})) == {machine}
    other = (*own, (DEV, ip_interface("192.168.195.1/24")))
    two_networks = facts(0, wanted(1), wanted(2), addresses=other)
    assert set(in_doubt([machine], {0: two_networks, 1: away})) == set()
    local = (*own, ("wg0", ip_interface("169.254.7.6/16")))
    unnumbered = facts(0, wanted(2), f"{pods(1)} via 169.254.7.7 dev wg0", addresses=local)
    assert set(in_doubt([machine], {0: unnumbered, 1: away})) == {machine}


def test_pods_whose_packets_are_masqueraded_get_answers_at_the_machines_address() -> None:
    away = facts(1, wanted(0), wanted(2), f"{node(0)} via 10.240.0.99 dev {DEV}")
    assert set(in_doubt([pair(0, 1), pair(2, 1)], {1: away})) == {pair(0, 1)}


def test_where_a_third_machine_may_send_by_a_gateway() -> None:
    around = facts(0, wanted(2), f"{pods(1)} via {node(2)} dev {DEV} proto static")
    away = facts(2, wanted(0), f"{pods(1)} via 10.240.0.99 dev {DEV}")
    assert set(in_doubt([pair(0, 1)], {2: away})) == set()
    assert set(in_doubt([pair(0, 1)], {0: around, 2: away})) == {pair(0, 1)}


def test_a_gateway_whose_link_local_address_a_machine_has_on_another_link() -> None:
    docker = (("docker0", ip_interface("fe80::1/64")), (DEV, ip_interface(f"{node(2, 6)}/64")))
    away = facts(0, f"{pods(1, 6)} via fe80::1 dev {DEV}", families=(6,))
    others = {2: facts(2, families=(6,), addresses=docker)}
    assert set(in_doubt([pair(0, 1, family=6)], {0: away, **others}, families=(6,)))


def test_links_that_are_named_as_keywords() -> None:
    over = facts(0, wanted(2), f"{pods(1)} dev src proto static")
    assert in_doubt(PAIRS, {0: over}, rules=[MAIN, "99:\tfrom all iif to lookup 7"]) == {}


def test_a_pair_that_could_not_be_pinged() -> None:
    state = State((Link(1, "lo", 65536),), Tables(), Tables(), {})
    asked = Survey(cluster(2), {"worker-0": facts(0), "worker-1": facts(1)}, {})
    states = dict.fromkeys(asked.facts, state)
    silent = pair(0, 1, "no probe")
    assert list(doubts(asked, [silent, pair(1, 0)], states, {})) == [silent]
