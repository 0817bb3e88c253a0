"""Routes and policy rules that lead packets elsewhere: whom they blame, for which pairs."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from itertools import permutations

import pytest

from tasks.connectivity.verdict import Pair
from tasks.diagnosis.links import settings_causes
from tasks.diagnosis.model import Cause, Scene
from tasks.diagnosis.routing import part_causes, unplanned_routes
from tasks.facts.model import Facts
from tasks.iproute.rule import Rule
from tests.builders import cluster, facts, wanted
from tests.builders import route as line

BRIDGE = "10.200.1.0/24 dev cnio0 proto kernel"


def machine(
    number: int, *lines: str, without: int | None = None, rule: Rule | None = None
) -> Facts:
    """A worker of three, or controller 3, with a pod bridge and all routes, but for one."""
    others = [n for n in range(3) if n not in (number, without)]
    found = facts(number, *map(wanted, others), *lines, rules=(rule,) if rule else ())
    if number == 3:
        return found
    bridge = ("cnio0", ip_interface(f"10.200.{number}.1/24"))
    own = () if lines and number == 1 else (line(BRIDGE.replace(".1.", f".{number}.")),)
    return replace(
        found,
        pod_bridge="cnio0",
        addresses=(*found.addresses, bridge),
        routes=(*found.routes, *own),
    )


def causes(one: Facts, silent: list[Pair], at: int = 1) -> list[Cause]:
    of = cluster(3, 1)
    machines = {m.name: machine(n) for n, m in enumerate(of.machines)}
    machines[of.machines[at].name] = one
    return settings_causes(Scene(of, machines, {}, silent))


SILENT = [
    Pair(f"worker-{a}", f"worker-{b}", 4, True, "silent") for a, b in permutations(range(3), 2)
]
AT_1 = [pair for pair in SILENT if "worker-1" in (pair.source, pair.target)]
TO_0 = [pair for pair in AT_1 if "worker-0" in (pair.source, pair.target)]


def test_one_missing_route_of_a_controller_is_not_everybodys() -> None:
    silent = [Pair("controller-3", "worker-1", 4, False, "silent")]
    (cause,) = causes(machine(3, without=1), silent, at=3)
    assert cause.words == "controller-3 has no route to the pods of worker-1"


@pytest.mark.parametrize(
    ("instead", "words", "remedy"),
    [
        (
            "blackhole 10.200.0.0/24 proto static",
            "worker-1 sends packets for worker-0's pods nowhere (blackhole 10.200.0.0/24),"
            " not via 10.240.0.6",
            "fab apply-routes --replace",
        ),
        (
            "10.200.0.0/24 dev enp6s0 proto 214",
            "worker-1 sends packets for worker-0's pods to the link of enp6s0, not via 10.240.0.6",
            "fab apply-routes",
        ),
    ],
)
def test_a_route_that_stands_there_is_not_a_missing_one(
    instead: str, words: str, remedy: str
) -> None:
    (cause,) = causes(machine(1, BRIDGE, instead, without=0), TO_0)
    assert (cause.words, cause.remedy, cause.pairs) == (words, remedy, tuple(TO_0))


INSTEAD = "10.200.0.0/24 via 10.240.0.8 dev enp6s0 proto 214"


@pytest.mark.parametrize(
    ("lines", "silent", "words"),
    [
        ((), [], ""),
        ((INSTEAD,), [], "worker-0's pods via 10.240.0.8, not via 10.240.0.6"),
        ((INSTEAD,), TO_0, ""),  # a cause says so
        ((INSTEAD,), [SILENT[-1]], "worker-0's pods via 10.240.0.8, not via 10.240.0.6"),
        (
            (INSTEAD.replace(".0.0/24", ".0.128/25"),),
            [],
            "worker-0's pods via 10.240.0.8, not via 10.240.0.6",
        ),
        (
            ("default via 10.240.0.1 dev enp6s0",),
            [],
            "worker-0's pods by its default route or a policy rule, not via 10.240.0.6",
        ),
        (
            (INSTEAD, "10.200.2.128/25 via 10.240.0.6 dev enp6s0 proto 214"),
            [],
            "the pods of worker-0, worker-2 another way than planned: for one, via 10.240.0.8,"
            " not via 10.240.0.6",
        ),
    ],
)
def test_routes_that_work_by_luck_are_told_of(
    lines: Sequence[str], silent: Sequence[Pair], words: str
) -> None:
    of = cluster(3, 1)
    machines = {m.name: machine(n) for n, m in enumerate(of.machines)}
    if words or lines:
        machines["worker-1"] = machine(1, BRIDGE, *lines, without=0)
    found = unplanned_routes(Scene(of, machines, {}, silent))
    assert found == ({"worker-1": f"worker-1 sends packets for {words}"} if words else {})


def test_a_machine_that_leads_its_own_pods_away() -> None:
    """kelseyhightower/kubernetes-the-hard-way#539."""
    (cause,) = causes(machine(1, "10.200.1.0/24 via 10.240.0.6 dev enp6s0 proto static"), SILENT)
    assert cause.words == "worker-1 sends packets for its own pods via 10.240.0.6"
    assert str(cause.remedy) == (
        "on worker-1: ip route del 10.200.1.0/24 via 10.240.0.6 dev enp6s0 proto static;"
        " ip route add 10.200.1.0/24 dev cnio0"
    )
    assert cause.pairs == tuple(AT_1)
    (cause,) = causes(machine(1, "192.0.2.0/24 dev lo proto static"), SILENT)
    assert cause.words == "worker-1 has no route to its own pods"


def test_a_next_hop_object_of_which_nothing_is_shown_is_told_of() -> None:
    """Where net.ipv4.nexthop_compat_mode is 0, an older ip shows the number alone."""
    (cause,) = causes(machine(1, "10.200.1.0/24 nhid 7 proto zebra"), SILENT)
    assert "sends packets for its own pods via a next hop object" in cause.words


def ruled(text: str, *lines: str, silent: list[Pair] = SILENT) -> list[Cause]:
    values = dict(zip(text.split(), text.split()[1:], strict=False))
    source, target = (ip_network(values[w]) if w in values else None for w in ("from", "to"))
    table, link = values.get("lookup", ""), values.get("iif", "")
    rule = Rule(4, text, source, target, table, link)
    return causes(machine(1, BRIDGE, *lines, rule=rule), silent)


def test_policy_rules_that_take_packets_away_are_named() -> None:
    (cause,) = ruled("100: from 10.200.0.0/24 prohibit")
    assert cause.words == (
        "a policy rule on worker-1 diverts pod traffic before the main table: 100:"
        " from 10.200.0.0/24 prohibit"
    )
    assert str(cause.remedy).endswith("ip rule add to 10.200.0.0/16 lookup main")
    assert cause.pairs == tuple(TO_0)
    (cause,) = ruled("100: to 10.200.0.0/24 lookup 7", "blackhole default table 7")
    assert cause.pairs == tuple(TO_0)
    own = [Pair("worker-1", "worker-0", 4, False, "silent")]
    assert (
        len(ruled("100: to 10.200.0.0/24 lookup 7", "blackhole default table 7", silent=own)) == 1
    )


@pytest.mark.parametrize(
    ("rule", "there"),
    [
        ("100: to 10.200.0.0/24 lookup 7", "10.99.0.0/16 via 10.240.0.1 dev enp6s0 table 7"),
        ("100: to 10.200.0.0/24 lookup 7", "throw default table 7"),
        ("100: to 10.200.0.0/24 lookup 7", "10.200.0.0/24 via 10.240.0.6 dev enp6s0 table 7"),
        ("100: to 10.200.0.0/24 iif wg0 lookup 7", "blackhole default table 7"),
        ("100: not to 10.200.0.0/24 lookup 7", "blackhole default table 7"),
        ("100: to 192.0.2.0/24 lookup 7", "blackhole default table 7"),
    ],
)
def test_policy_rules_of_other_packets_are_not(rule: str, there: str) -> None:
    assert ruled(rule, there) == []


def test_what_an_earlier_rule_exempts_is_not_taken() -> None:
    there = machine(1, BRIDGE, "blackhole default table 7")
    to_0 = Rule(4, "100: to 10.200.0.0/24 lookup 7", None, ip_network("10.200.0.0/24"), "7")
    exempt = Rule(4, "99: to 10.200.0.0/16 lookup main", None, ip_network("10.200.0.0/16"), "main")
    other = replace(exempt, destination=ip_network("10.200.2.0/24"))
    assert causes(replace(there, rules=(exempt, to_0)), SILENT) == []
    assert len(causes(replace(there, rules=(other, to_0)), SILENT)) == 1
    assert len(causes(replace(there, rules=(to_0, exempt)), SILENT)) == 1


def test_a_machines_own_pings_have_no_source_when_rules_are_asked() -> None:
    own = [Pair("worker-1", "worker-0", 4, False, "silent")]
    assert ruled("100: from 10.240.0.7 lookup 7", "blackhole default table 7", silent=own) == []


@pytest.mark.parametrize(
    "part", ["blackhole 10.200.0.0/25", "10.200.0.0/26 via 10.240.0.99 dev enp6s0"]
)
def test_a_part_that_no_probe_is_in_is_told_though_all_pairs_answer(part: str) -> None:
    of = cluster(3)
    machines = {f"worker-{n}": machine(n) for n in range(3)}
    assert part_causes(Scene(of, machines, {}, ())) == []
    (cause,) = part_causes(
        Scene(of, {**machines, "worker-1": machine(1, BRIDGE, f"{part} proto static")}, {}, ())
    )
    assert cause.machine == "worker-1"
    assert "a part of worker-0's pods" in cause.words
    assert (cause.remedy, cause.pairs) == ("fab apply-routes --replace", ())


def test_a_part_that_is_seen_in_pairs_is_not_told_twice() -> None:
    of = cluster(3)
    one = machine(1, BRIDGE, "10.200.0.128/25 via 10.240.0.99 dev enp6s0 proto static")
    assert (
        part_causes(
            Scene(of, {**{f"worker-{n}": machine(n) for n in range(3)}, "worker-1": one}, {}, ())
        )
        == []
    )


def test_many_parts_that_lead_one_way_are_one_cause() -> None:
    of = cluster(3)
    lost = [f"blackhole 10.200.0.{n} proto static" for n in range(1, 100)]
    machines = {f"worker-{n}": machine(n) for n in range(3)}
    (cause,) = part_causes(Scene(of, {**machines, "worker-1": machine(1, BRIDGE, *lost)}, {}, ()))
    assert cause.words == (
        "worker-1 sends packets for 10.200.0.1/32, 10.200.0.2/32, 10.200.0.3/32 and 96 more,"
        " parts of worker-0's pods, nowhere (blackhole)"
    )
