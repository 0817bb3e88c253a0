"""What is wrong with the table of the provider's network, and what to type."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import permutations

import pytest

from tasks.connectivity.verdict import Pair
from tasks.diagnosis.evidence import Evidence
from tasks.diagnosis.faults import FaultKind, PathFault, explain
from tasks.diagnosis.firewall import Firewall
from tasks.diagnosis.model import Cause, Routed, Scene
from tasks.diagnosis.provider_table import read_routed, table_causes
from tasks.diagnosis.routing import part_causes, route_causes, unplanned_routes
from tasks.inventory.model import ProviderNetwork
from tasks.networks.aws import AWS, Aws
from tasks.networks.calls import Calls
from tasks.networks.hetzner import HCLOUD, Hetzner
from tasks.networks.model import Member, Table, TableRoute
from tests.builders import DEV, cluster, facts, node, pods

NETWORK = ProviderNetwork("hetzner", "kube net")
GATEWAY = ip_address("10.240.0.1")
HERE = "on your own machine: "
COMMAND = "hcloud network {}-route 'kube net' --destination {} --gateway {}"


def route(to: str, via: str) -> TableRoute:
    return TableRoute(ip_network(to), ip_address(via))


RIGHT = [route(pods(n), node(n)) for n in range(3)]


def table(*routes: TableRoute) -> Table:
    return Table(
        id="4711",
        ranges=(ip_network("10.240.0.0/24"),),
        subnets=(ip_network("10.240.0.0/24"),),
        gateway=GATEWAY,
        routes=routes,
        members=tuple(Member(ip_address(node(n)), str(n), f"worker-{n}") for n in range(3)),
        limit=100,
        exclusive=True,
    )


def routed(*routes: TableRoute) -> Routed:
    return Routed(NETWORK.name, Hetzner(Calls(HCLOUD, NETWORK.name), NETWORK.name), table(*routes))


def scene(
    network: Routed, silent: Iterable[tuple[int, int]], lines: Mapping[int, str] | None = None
) -> Scene:
    """Three workers with their routes by the gateway, or with these lines in their place."""
    machines = {
        f"worker-{n}": facts(
            n,
            *(f"{pods(o)} via {GATEWAY} dev {DEV} proto 214" for o in range(3) if o != n)
            if n not in (lines or {})
            else (lines or {})[n].splitlines(),
        )
        for n in range(3)
    }
    pairs = [
        Pair(f"worker-{a}", f"worker-{b}", 4, from_pod, "silent" if (a, b) in silent else "ok")
        for a, b in permutations(range(3), 2)
        for from_pod in (True, False)
    ]
    evidence = Evidence({}, {}, dict.fromkeys((4, 6), Firewall(complete=True)))
    of = replace(cluster(3), network=NETWORK)
    return Scene(of, machines, dict.fromkeys(machines, evidence), pairs, network)


EVERY = list(permutations(range(3), 2))
ONE = [(0, 1), (1, 0), (2, 1), (1, 2)]  # the pairs of worker-1


def told(found: Iterable[Cause]) -> list[tuple[str, str]]:
    return [(cause.words, str(cause.remedy)) for cause in found]


def test_a_table_that_has_all_routes_is_no_cause() -> None:
    assert table_causes(scene(routed(*RIGHT), EVERY)) == []


def test_a_route_that_the_table_lacks() -> None:
    (cause,) = table_causes(scene(routed(RIGHT[0], RIGHT[2]), ONE))
    assert (cause.machine, cause.words, str(cause.remedy)) == (
        "worker-1",
        "the network kube net has no route to the pods of worker-1",
        HERE + COMMAND.format("add", pods(1), node(1)),
    )
    # A machine's own packets need the route to the pod, and no other.
    assert {(p.source, p.target, p.from_pod) for p in cause.pairs} == {
        *((f"worker-{a}", f"worker-{b}", True) for a, b in ONE),
        *((f"worker-{a}", "worker-1", False) for a in (0, 2)),
    }


def test_a_default_route_is_none_to_pods() -> None:
    (cause,) = table_causes(scene(routed(*RIGHT[:2], route("0.0.0.0/0", node(0))), EVERY))
    assert cause.words == "the network kube net has no route to the pods of worker-2"


def test_several_that_it_lacks_are_for_apply_routes() -> None:
    assert told(table_causes(scene(routed(), EVERY))) == [
        (
            "the network kube net has no route to the pods of worker-0, worker-1, worker-2",
            "fab apply-routes",
        )
    ]


@pytest.mark.parametrize(
    ("wrong", "removed"),
    [
        ([(pods(1), node(2))], [(pods(1), node(2))]),
        ([("10.200.0.0/16", node(0))], [("10.200.0.0/16", node(0))]),
        ([("10.200.1.128/25", node(2))], [("10.200.1.128/25", node(2))]),
        ([("10.200.1.128/25", node(9))], [("10.200.1.128/25", node(9))]),
    ],
)
def test_a_route_that_leads_elsewhere(
    wrong: list[tuple[str, str]], removed: list[tuple[str, str]]
) -> None:
    rest = [r for r in RIGHT if r != RIGHT[1]]
    found = table_causes(scene(routed(*(route(*words) for words in wrong), *rest), ONE))
    commands = [COMMAND.format("remove", *words) for words in removed]
    commands.append(COMMAND.format("add", pods(1), node(1)))
    via = wrong[0][1]
    assert told(found) == [
        (
            f"the network kube net sends packets for worker-1's pods via {via}, not via {node(1)}",
            HERE + "; ".join(commands),
        )
    ]


def test_what_answers_all_the_same_is_no_cause() -> None:
    assert table_causes(scene(routed(RIGHT[0], RIGHT[2]), [(0, 2), (2, 0)])) == []


def test_a_server_that_is_not_in_the_network_has_to_be_attached_first() -> None:
    network = routed(RIGHT[0], RIGHT[2])
    assert network.table is not None
    others = tuple(one for one in network.table.members if one.name != "worker-1")
    away = replace(network, table=replace(network.table, members=others))
    assert told(table_causes(scene(away, ONE))) == [
        (
            "the network kube net has no route to the pods of worker-1",
            f"attach worker-1 to the network kube net: no machine there has its internal IP,"
            f" {node(1)}",
        )
    ]


def test_the_check_of_a_workers_addresses_is_a_cause() -> None:
    """A network interface of AWS has one; machines need no route to pods there."""
    members = tuple(Member(ip_address(node(n)), f"eni-{n}", f"i-{n}", n == 1) for n in range(3))
    of = replace(table(*RIGHT), id="rtb-1", gateway=None, exclusive=False, members=members)
    vpc = Routed("rtb-1", Aws(Calls(AWS, "rtb-1"), "rtb-1"), of)
    bare = dict.fromkeys(range(3), "")
    (cause,) = table_causes(scene(vpc, ONE, bare))
    assert list(route_causes(scene(vpc, ONE, bare), ["worker-0"])) == []
    command = "aws ec2 modify-network-interface-attribute --network-interface-id eni-1"
    assert (cause.machine, cause.words, str(cause.remedy)) == (
        "worker-1",
        "the network rtb-1 drops packets of the pods of worker-1: its source/destination check is"
        " on",
        f"{HERE}{command} --no-source-dest-check",
    )
    every = replace(of, members=tuple(replace(one, source_check=True) for one in members))
    assert told(table_causes(scene(replace(vpc, table=every), EVERY, bare))) == [
        (
            "the network rtb-1 drops packets of the pods of worker-0, worker-1, worker-2: their"
            " source/destination checks are on",
            "fab apply-routes",
        )
    ]


def test_a_subnet_that_uses_another_table_is_a_cause() -> None:
    members = tuple(replace(one, led=one.name != "worker-1") for one in table().members)
    of = replace(table(*RIGHT), id="rtb-1", gateway=None, exclusive=False, members=members)
    vpc = Routed("rtb-1", Aws(Calls(AWS, "rtb-1"), "rtb-1"), of)
    (cause,) = table_causes(scene(vpc, ONE, dict.fromkeys(range(3), "")))
    assert (cause.machine, cause.words, str(cause.remedy)) == (
        "worker-1",
        "the subnets of worker-1 use another route table than rtb-1",
        "associate these subnets with rtb-1, or name the other table in [network]",
    )
    # What another machine itself sends comes by its own table, and the answer needs no route to
    # pods.
    assert all(pair.source == "worker-1" or pair.from_pod for pair in cause.pairs)
    assert len(cause.pairs) == 6


def test_routes_of_machines_lead_to_the_gateway_of_the_network() -> None:
    names = [f"worker-{n}" for n in range(3)]
    right = scene(routed(*RIGHT), EVERY)
    assert list(route_causes(right, names)) == []
    assert part_causes(right) == []
    wrong = f"{pods(1)} via {node(1)} dev {DEV} proto 214"
    assert told(route_causes(scene(routed(*RIGHT), EVERY, {0: wrong}), names)) == [
        ("worker-0 has no route to the pods of worker-2", "fab apply-routes"),
        (
            f"worker-0 sends packets for worker-1's pods via {node(1)}, not via {GATEWAY}",
            "fab apply-routes",
        ),
    ]


def test_without_the_table_nobody_knows_where_routes_of_machines_have_to_lead() -> None:
    unread = replace(routed(), table=None, unread="no key")
    lines = {0: f"{pods(1)} via {node(9)} dev {DEV}", 1: f"blackhole {pods(2)}"}
    found = scene(unread, EVERY, lines)
    assert table_causes(found) == []
    words = f"worker-1 sends packets for worker-2's pods nowhere (blackhole {pods(2)})"
    assert told(route_causes(found, list(found.facts))) == [(words, "fab apply-routes --replace")]
    assert unplanned_routes(replace(found, pairs=[])) == {"worker-1": words}
    fault = PathFault(FaultKind.NETWORK, "worker-1")
    assert explain(found, fault, found.silent) == (
        "packets from worker-1's pods to the others are lost on the network between them",
        "see whether its table has the routes, which could not be read: no key",
    )


def test_a_network_that_has_the_routes_may_have_a_firewall() -> None:
    found = scene(routed(*RIGHT), EVERY)
    _, remedy = explain(found, PathFault(FaultKind.NETWORK), found.silent)
    assert str(remedy).startswith("allow 10.200.0.0/16 on that network: security groups")


def test_a_table_that_cannot_be_read_is_told_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    found = read_routed(NETWORK, None)
    assert found is not None
    assert found.table is None
    assert found.unread == (
        "network kube net: hcloud is not on this machine's PATH: apt-get install hcloud-cli"
    )
    assert read_routed(None, None) is None
