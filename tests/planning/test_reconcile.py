from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.common.values import within
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.iproute.names import protocol_number
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.planning.model import Allowed, Change, MachinePlan, Plan, Verb
from tasks.planning.reconcile import plan_routes
from tasks.planning.rollback import plan_rollback
from tasks.rollout.steps import steps
from tasks.undo.records import Displaced
from tests.builders import DEV, cluster, facts, node, pods, route, wanted

NONE = Allowed()


@dataclass(frozen=True)
class Case:
    """What worker-0 of the tutorial's two workers has, and what its plan is to be."""

    name: str
    lines: tuple[str, ...] = ()
    allowed: Allowed = NONE
    put: tuple[str, ...] = ()
    take: tuple[str, ...] = ()
    in_sync: int = 0
    conflicts: int = 0
    stale: int = 0
    outside_networks: int = 0
    refusals: int = 0
    families: tuple[int, ...] = (4,)
    rules: tuple[Rule, ...] = ()
    client: str = ""
    answering: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # routes of other tables
    bridge: str = ""  # the address of its pod bridge


OURS = wanted(1)
TYPED = f"{pods(1)} via {node(1)} dev {DEV}"
OLD = f"{pods(1)} via {node(9)} dev {DEV}"
STALE = f"{pods(7)} via {node(7)} dev {DEV} proto 214"
OWN = f"{pods(0)} via {node(0)} dev {DEV}"
SIX = f"{pods(1, 6)} via {node(9, 6)} dev {DEV}"
PUT = (OURS,)
ADOPT = Allowed(adopt=True)
REPLACE = Allowed(replace=True)
PRUNE = Allowed(prune=True)


def rule(text: str, table: str, source: str = "", destination: str = "", device: str = "") -> Rule:
    return Rule(
        6 if ":" in source + destination else 4,
        text,
        ip_network(source) if source else None,
        ip_network(destination) if destination else None,
        table,
        device,
    )


ALL_TO_100 = rule("100: from all lookup 100", "100")

CASES = [
    Case("nothing there", put=PUT),
    Case("ours", (OURS,), in_sync=1),
    Case("ours, other flags and metrics", (f"{OURS} mtu lock 1400 linkdown",), in_sync=1),
    Case("right but foreign", (TYPED,), in_sync=1),
    Case("right but foreign, at another metric", (f"{TYPED} metric 50",), in_sync=1),
    Case("adopted", (TYPED,), ADOPT, put=PUT, take=(TYPED,)),
    Case(
        "adopted from another metric",
        (f"{TYPED} metric 50",),
        ADOPT,
        put=PUT,
        take=(f"{TYPED} metric 50",),
    ),
    Case("ours is not adopted again", (OURS,), ADOPT, in_sync=1),
    Case("ours with an old next hop", (f"{OLD} proto 214",), put=PUT, take=(f"{OLD} proto 214",)),
    Case(
        "ours by a device that is no longer the link",
        (f"{pods(1)} via {node(1)} dev old0 proto 214",),
        put=PUT,
        take=(f"{pods(1)} via {node(1)} dev old0 proto 214",),
    ),
    Case("foreign at the same metric", (OLD,), conflicts=1),
    Case("foreign at the same metric, replaced", (OLD,), REPLACE, put=PUT, take=(OLD,)),
    Case("foreign at a worse metric", (f"{OLD} metric 50",), conflicts=1),
    Case(
        "foreign at a worse metric, replaced",
        (f"{OLD} metric 50",),
        REPLACE,
        put=PUT,
        take=(f"{OLD} metric 50",),
    ),
    Case("foreign at a metric that loses to ours", (OURS, f"{OLD} metric 50"), in_sync=1),
    Case(
        "foreign of another TOS",
        (OURS, f"{pods(1)} tos 0x10 via {node(9)} dev {DEV}"),
        in_sync=1,
        conflicts=1,
    ),
    Case(
        "foreign and more specific",
        (OURS, f"10.200.1.128/25 via {node(9)} dev {DEV}"),
        in_sync=1,
        conflicts=1,
    ),
    Case(
        "foreign and more specific, replaced",
        (OURS, f"10.200.1.128/25 via {node(9)} dev {DEV}"),
        REPLACE,
        take=(f"10.200.1.128/25 via {node(9)} dev {DEV}",),
        in_sync=1,
    ),
    Case(
        "foreign and more specific, the same way",
        (OURS, f"10.200.1.5 via {node(1)} dev {DEV}"),
        in_sync=1,
    ),
    Case("foreign and less specific", (f"10.200.0.0/16 via {node(9)} dev {DEV}",), put=PUT),
    Case(
        "ours and more specific",
        (OURS, f"10.200.1.128/25 via {node(9)} dev {DEV} proto 214"),
        take=(f"10.200.1.128/25 via {node(9)} dev {DEV} proto 214",),
        in_sync=1,
    ),
    Case("blackhole", (f"blackhole {pods(1)} proto bird",), conflicts=1),
    Case(
        "blackhole, replaced",
        (f"blackhole {pods(1)} proto bird",),
        REPLACE,
        put=PUT,
        take=(f"blackhole {pods(1)} proto bird",),
    ),
    Case(
        "unreachable at a worse metric",
        (OURS, f"unreachable {pods(1)} metric 4278198272"),
        in_sync=1,
    ),
    Case(
        "multipath, one of the ways right",
        (f"{pods(1)} proto bgp nexthop via {node(1)} dev {DEV} nexthop via {node(9)} dev {DEV}",),
        conflicts=1,
    ),
    Case(
        "of an address, never displaced",
        (f"{pods(1)} dev docker0 proto kernel",),
        REPLACE,
        conflicts=1,
    ),
    Case(
        "of an address inside, never displaced",
        ("10.200.1.64/26 dev docker0 proto kernel",),
        REPLACE,
        conflicts=1,
    ),
    Case("stale", (OURS, STALE), in_sync=1, stale=1),
    Case("stale, pruned", (OURS, STALE), PRUNE, in_sync=1, take=(STALE,)),
    Case(
        "stale, its next hop answering",
        (OURS, STALE),
        PRUNE,
        in_sync=1,
        take=(STALE,),
        refusals=1,
        answering=(node(7),),
    ),
    Case(
        "stale, its next hop answering, forced",
        (OURS, STALE),
        Allowed(prune=True, force=True),
        in_sync=1,
        take=(STALE,),
        answering=(node(7),),
    ),
    Case("stale but foreign", (OURS, STALE.replace("214", "static")), PRUNE, in_sync=1),
    Case("moved pod CIDR", (f"{pods(5)} via {node(1)} dev {DEV} proto 214",), put=PUT, stale=1),
    Case(
        "ours outside pod_networks",
        (OURS, f"10.99.0.0/24 via {node(1)} dev {DEV} proto 214"),
        PRUNE,
        in_sync=1,
        outside_networks=1,
    ),
    Case("ours of another table", (OURS, f"{STALE} table 100"), PRUNE, in_sync=1),
    Case("foreign to the own pod CIDR", (OURS, OWN), in_sync=1, conflicts=1),
    Case("foreign to the own pod CIDR, replaced", (OURS, OWN), REPLACE, in_sync=1, take=(OWN,)),
    Case(
        "Cilium's route to the own pods",
        (OURS, "10.200.0.0/24 via 10.200.0.1 dev cnio0 proto kernel src 10.200.0.1"),
        REPLACE,
        in_sync=1,
        bridge="10.200.0.1/24",
    ),
    Case(
        "ours to the own pod CIDR",
        (OURS, f"{OWN} proto 214"),
        in_sync=1,
        take=(f"{OWN} proto 214",),
    ),
    Case(
        "ours inside the own pod CIDR",
        (OURS, f"10.200.0.64/26 via {node(1)} dev {DEV} proto 214"),
        in_sync=1,
        take=(f"10.200.0.64/26 via {node(1)} dev {DEV} proto 214",),
    ),
    Case(
        "the own bridge",
        (OURS, f"{pods(0)} dev cnio0 proto kernel src 10.200.0.1"),
        REPLACE,
        in_sync=1,
    ),
    Case(
        "a link that the next hop is not on", (f"{node(1)} via 10.240.0.1 dev {DEV}",), refusals=1
    ),
    Case("a next hop without a route", (f"unreachable {node(1)}",), refusals=1),
    Case("the operator's ssh inside", client="10.200.1.9", put=PUT, refusals=1),
    Case("the operator's ssh elsewhere", client="198.51.100.1", put=PUT),
    Case("a gateway inside", ("default via 10.200.1.1 dev ens3 metric 50",), put=PUT, refusals=1),
    Case(
        "a rule to a table that leads elsewhere",
        (OURS,),
        rules=(ALL_TO_100,),
        others=(f"default via {node(9)} dev {DEV} table 100",),
        in_sync=1,
        conflicts=1,
    ),
    Case(
        "a rule to a table that leads there too",
        (OURS,),
        rules=(ALL_TO_100,),
        others=(f"{pods(1)} via {node(1)} dev {DEV} table 100",),
        in_sync=1,
    ),
    Case(
        "a rule to a table of other prefixes",
        (OURS,),
        rules=(ALL_TO_100,),
        others=(f"10.99.0.0/16 via {node(9)} dev {DEV} table 100",),
        in_sync=1,
    ),
    Case(
        "a rule to a table that exempts the prefix",
        (OURS,),
        rules=(ALL_TO_100,),
        others=(f"default via {node(9)} dev {DEV} table 100", "throw 10.200.0.0/16 table 100"),
        in_sync=1,
    ),
    Case(
        "a rule to a table that exempts part of it",
        (OURS,),
        rules=(ALL_TO_100,),
        others=(f"default via {node(9)} dev {DEV} table 100", "throw 10.200.1.0/25 table 100"),
        in_sync=1,
        conflicts=1,
    ),
    *(
        Case(
            f"a rule for what comes in by {device}",
            (OURS,),
            rules=(rule(f"9: from all iif {device} lookup 100", "100", device=device),),
            others=(f"{pods(1)} via {node(9)} dev {DEV} table 100",),
            bridge="10.200.0.1/24",
            in_sync=1,
            conflicts=conflicts,
        )
        for device, conflicts in (("vpn0", 0), ("lo", 1), ("cnio0", 1))
    ),
    Case("a rule to a table of no routes", (OURS,), rules=(ALL_TO_100,), in_sync=1),
    Case(
        "a rule for the pods' own source",
        (OURS,),
        in_sync=1,
        conflicts=1,
        rules=(rule("9: from 10.200.0.0/24 lookup 100", "100", source="10.200.0.0/24"),),
        others=(f"default via {node(9)} dev {DEV} table 100",),
    ),
    Case(
        "a rule for another source",
        (OURS,),
        in_sync=1,
        rules=(rule("9: from 10.99.0.0/24 lookup 100", "100", source="10.99.0.0/24"),),
        others=(f"default via {node(9)} dev {DEV} table 100",),
    ),
    Case(
        "a rule to another destination",
        (OURS,),
        in_sync=1,
        rules=(rule("9: from all to 10.99.0.0/24 unreachable", "", destination="10.99.0.0/24"),),
    ),
    Case(
        "a rule that ends the lookup",
        (OURS,),
        in_sync=1,
        conflicts=1,
        rules=(rule("9: from all to 10.200.0.0/16 prohibit", "", destination="10.200.0.0/16"),),
    ),
    Case(
        "a rule that exempts the pods before it",
        (OURS,),
        in_sync=1,
        rules=(
            rule("8: from all to 10.200.0.0/16 lookup main", "main", destination="10.200.0.0/16"),
            ALL_TO_100,
        ),
        others=(f"default via {node(9)} dev {DEV} table 100",),
    ),
    Case(
        "a rule that exempts what comes from pods",
        (OURS,),
        in_sync=1,
        rules=(
            rule("8: from 10.200.0.0/16 lookup main", "main", source="10.200.0.0/16"),
            ALL_TO_100,
        ),
        others=(f"default via {node(9)} dev {DEV} table 100",),
    ),
    Case(
        "rules that exempt some of it only",
        (OURS,),
        in_sync=1,
        conflicts=1,
        rules=(
            rule("7: from all to 10.200.1.0/25 lookup main", "main", destination="10.200.1.0/25"),
            rule("8: from 10.200.0.0/24 lookup main", "main", source="10.200.0.0/24"),
            ALL_TO_100,
        ),
        others=(f"default via {node(9)} dev {DEV} table 100",),
    ),
    Case("both families, nothing there", families=(4, 6), put=(OURS, wanted(1, 6))),
    Case("both families, ours", (OURS, wanted(1, 6)), families=(4, 6), in_sync=2),
    Case("IPv6 foreign at the usual metric", (f"{SIX} metric 1024",), families=(6,), conflicts=1),
    Case(
        "IPv6 foreign, replaced",
        (f"{SIX} metric 1024",),
        REPLACE,
        families=(6,),
        put=(wanted(1, 6),),
        take=(f"{SIX} metric 1024",),
    ),
    Case(
        "IPv6 foreign at a better metric, ours there",
        (wanted(1, 6), f"{SIX} metric 50"),
        families=(6,),
        conflicts=1,
    ),
]


def planned(case: Case) -> MachinePlan:
    asked = facts(0, *case.lines, *case.others, families=case.families, rules=case.rules)
    asked = replace(
        asked,
        client=ip_address(case.client) if case.client else None,
        answering=frozenset(map(ip_address, case.answering)),
    )
    if case.bridge:
        bridge = ("cnio0", ip_interface(case.bridge))
        asked = replace(asked, addresses=(*asked.addresses, bridge))
    (plan,) = plan_routes(
        cluster(2, families=case.families), {"worker-0": asked}, case.allowed
    ).machines
    return plan


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_plan_of_one_machine(case: Case) -> None:
    plan = planned(case)
    puts = [change.put for change in plan.changes if change.put]
    takes = [r for change in plan.changes for r in change.take]
    assert [str(r) for r in puts] == [str(route(line)) for line in case.put]
    assert takes == [route(line) for line in case.take]
    counts = {
        "in_sync": case.in_sync,
        "conflicts": case.conflicts,
        "stale": case.stale,
        "outside_networks": case.outside_networks,
        "refusals": case.refusals,
    }
    assert {name: len(getattr(plan, name)) for name in counts} == counts


@pytest.mark.parametrize(
    ("change", "verb"),
    [
        (Change(route(OURS)), "add"),
        (Change(route(OURS), (route(OLD),)), "replace"),
        (Change(None, (route(OLD),)), "delete"),
    ],
)
def test_a_change_has_a_verb_and_a_prefix(change: Change, verb: str) -> None:
    plan = Plan((MachinePlan("worker-0", (change,)),), {})
    assert change.verb == verb
    assert str(change.prefix) == pods(1)
    assert [v for v in Verb if plan.count(v)] == [verb]
    assert plan.only_adds == (verb == "add")
    assert not plan.empty


def puts(plan: Plan) -> dict[str, list[str]]:
    return {
        m.name: [str(change.put.prefix) for change in m.changes if change.put]
        for m in plan.machines
    }


def every_machine(of: Cluster, *lines: str) -> dict[str, Facts]:
    return {m.name: facts(i, *lines) for i, m in enumerate(of.machines)}


def test_every_machine_gets_the_other_workers_pod_cidrs() -> None:
    of = cluster(3, controllers=1)
    assert puts(plan_routes(of, every_machine(of), Allowed())) == {
        "worker-0": [pods(1), pods(2)],
        "worker-1": [pods(0), pods(2)],
        "worker-2": [pods(0), pods(1)],
        "controller-3": [pods(0), pods(1), pods(2)],
    }


def test_only_one_worker_means_its_routes_elsewhere_and_all_of_its_own() -> None:
    of = cluster(3, controllers=1)
    assert puts(plan_routes(of, every_machine(of), Allowed(), only="worker-1")) == {
        "worker-0": [pods(1)],
        "worker-1": [pods(0), pods(2)],
        "worker-2": [pods(1)],
        "controller-3": [pods(1)],
    }


def test_only_one_worker_leaves_alone_what_is_not_about_it() -> None:
    of = cluster(3)
    asked = every_machine(of, f"{pods(2)} via {node(9)} dev {DEV} proto 214", STALE)
    plan = plan_routes(of, asked, PRUNE, only="worker-1")
    first = plan.machines[0]
    assert [str(change.prefix) for change in first.changes] == [pods(1)]
    assert not first.stale


def test_a_skipped_machine_is_named_and_its_routes_on_others_untouched() -> None:
    of = cluster(3)
    asked = every_machine(of, wanted(2))
    del asked["worker-2"]
    plan = plan_routes(of, asked, PRUNE, skipped={"worker-2": "timed out"})
    assert plan.skipped == {"worker-2": "timed out"}
    assert puts(plan) == {"worker-0": [pods(1)], "worker-1": [pods(0)]}
    assert plan.count(Verb.DELETE) == 0


def test_pruning_is_refused_where_a_skipped_worker_may_own_what_is_pruned() -> None:
    of = cluster(3)
    unknown = replace(of.machines[2], pod_cidrs=())
    of = replace(of, machines=(*of.machines[:2], unknown))
    asked = every_machine(of, wanted(2))
    del asked["worker-2"]
    for allowed in (PRUNE, Allowed(prune=True, force=True)):
        assert plan_routes(of, asked, allowed, skipped={"worker-2": "timed out"}).refused


def test_a_worker_without_an_address_of_the_family_is_refused() -> None:
    of = cluster(2, families=(4, 6))
    lame = replace(of.machines[1], internal_ips=of.machines[1].internal_ips[:1])
    of = replace(of, machines=(of.machines[0], lame))
    (plan,) = plan_routes(of, {"worker-0": facts(0, families=(4, 6))}, Allowed()).machines
    assert len(plan.refusals) == 1
    assert "worker-1" in plan.refusals[0]
    assert "IPv6" in plan.refusals[0]


def test_a_pod_cidr_outside_pod_networks_is_refused_and_never_touched() -> None:
    """What a worker itself names may lie outside; hosts.toml is checked for it when it is read."""
    of = cluster(2)
    moved = tuple(
        replace(m, pod_cidrs=(ip_network(f"10.99.{i}.0/24"),)) for i, m in enumerate(of.machines)
    )
    of = replace(of, machines=moved)
    asked = {"worker-0": facts(0, f"10.99.0.0/24 via {node(1)} dev {DEV}", "10.99.1.0/24 dev x0")}
    (plan,) = plan_routes(of, asked, Allowed(replace=True, prune=True)).machines
    assert plan.refusals
    assert plan.changes == ()


def test_limit_leaves_one_machine_of_a_plan() -> None:
    of = cluster(3)
    plan = plan_routes(of, every_machine(of), Allowed(), limit="worker-1")
    assert puts(plan) == {"worker-1": [pods(0), pods(2)]}


def test_a_rule_of_the_other_family_is_not_in_the_way() -> None:
    """`from all` says no family: a lookup of IPv6 that ends there says nothing of IPv4."""
    six = replace(facts(0, wanted(1)), routes=facts(0, wanted(1)).routes)
    from tasks.facts.parse import read

    answer = "\n".join(
        [
            "== rule 4",
            "0:\tfrom all lookup local",
            "32766:\tfrom all lookup main",
            "== rule 6",
            "0:\tfrom all lookup local",
            "100:\tfrom all prohibit",
            "32766:\tfrom all lookup main",
            "== answering",
        ]
    )
    six = replace(six, rules=read(answer).rules)
    (plan,) = plan_routes(cluster(2), {"worker-0": six}, Allowed()).machines
    assert plan.conflicts == ()


# Rollback


def kept(run: str, *lines: str) -> Displaced:
    routes = tuple(map(route, lines))
    first = routes[0]
    place = str(first.prefix).replace("/", "-")
    return Displaced(f"{run}_{first.prefix.version}_{place}_{first.protocol}", routes)


@pytest.mark.parametrize(
    ("lines", "displaced", "deleted", "restored"),
    [
        ((), (), (), ()),
        ((OURS, STALE), (), (OURS, STALE), ()),
        ((TYPED,), (), (), ()),
        (("10.99.0.0/24 dev x0 proto 214",), (), ("10.99.0.0/24 dev x0 proto 214",), ()),
        ((OURS,), (kept("1", OLD),), (OURS,), (kept("1", OLD),)),
        ((OURS,), (kept("2", TYPED), kept("1", OLD)), (OURS,), (kept("1", OLD),)),
        (
            (OURS,),
            (kept("1", OLD), kept("1", f"{OLD} proto static metric 5")),
            (OURS,),
            (kept("1", OLD), kept("1", f"{OLD} proto static metric 5")),
        ),
        ((OLD,), (kept("1", OLD),), (), ()),  # back already: only the record is to go
    ],
)
def test_rollback(
    lines: tuple[str, ...],
    displaced: tuple[Displaced, ...],
    deleted: tuple[str, ...],
    restored: tuple[Displaced, ...],
) -> None:
    asked = facts(0, *lines, displaced=displaced)
    (plan,) = plan_rollback(cluster(2), {"worker-0": asked}).machines
    assert [change.take for change in plan.changes] == [(route(line),) for line in deleted]
    assert all(change.put is None for change in plan.changes)
    assert plan.restores == restored
    assert set(plan.discards) == set(displaced)
    assert plan.empty == (not lines or (lines == (TYPED,)))


# Laws


@dataclass
class Kernel:
    """The main table as the kernel keeps it: adds, replaces and deletes by key, in order.

    Within a prefix and TOS the routes stand by metric; those of one key (`ip route append`
    gives such, in IPv4) in the order they came. In IPv6 they would be one multipath.
    """

    table: list[Route]

    def __post_init__(self) -> None:
        self.table.sort(key=lambda r: (r.prefix.version, r.prefix, r.metric))

    def run(self, line: str) -> None:
        _route, verb, *words = line.split()
        subject = route(" ".join(words))
        if verb == "del":
            self._delete(subject, metric_named="metric" in words)
            return
        same = [r for r in self.table if r.key == subject.key]
        assert verb == "replace" or not same, f"File exists: {line}"
        if same:
            self.table[self.table.index(same[0])] = subject
        else:
            self.table.append(subject)
        self.table.sort(key=lambda r: (r.prefix.version, r.prefix, r.metric))

    def _delete(self, subject: Route, *, metric_named: bool) -> None:
        for found in self.table:
            fits = (found.prefix, found.tos, found.type, found.protocol) == (
                subject.prefix,
                subject.tos,
                subject.type,
                subject.protocol,
            )
            hops = not subject.hops or found.hops == subject.hops
            if fits and hops and (not metric_named or found.metric == subject.metric):
                self.table.remove(found)
                return
        raise AssertionError(f"No such process: {subject.selector}")


def bare(routes: Iterable[Route]) -> list[Route]:
    return [replace(r, text="") for r in routes]


def carried_out(found: Facts, plan: MachinePlan) -> Kernel:
    kernel = Kernel([r for r in found.routes if r.table == "main"])
    for line in steps(plan, "run").do:
        kernel.run(line)
    return kernel


def undone(kernel: Kernel, plan: MachinePlan) -> None:
    """Undo, and what the kept bytes bring back: every route taken that was not ours."""
    for line in steps(plan, "run").undo:
        kernel.run(line)
    for change in plan.changes:
        for r in change.take:
            if not r.owned:
                kernel.table.append(r)


NUMBERS = st.integers(0, 5)


@st.composite
def found_lines(draw: st.DrawFn, family: int) -> str:
    """A route that somebody may have: of a pod CIDR, around, inside, or elsewhere."""
    number = draw(st.integers(0, 4))
    whole = ip_network(pods(number, family))
    near = {
        4: [str(whole), f"10.200.{number}.128/25", "10.200.0.0/16", f"10.99.{number}.0/24"],
        6: [str(whole), f"fd00:200:{number:x}::/80", "fd00:200::/32", f"fd00:99:{number:x}::/64"],
    }
    prefix = draw(st.sampled_from([near[family][0], near[family][0], *near[family]]))
    protocol = draw(st.sampled_from(["214", "214", "boot", "static", "kernel"]))
    metric = draw(st.sampled_from([0, 20] if family == 4 else [1024, 20, 2048]))
    tail = f"proto {protocol} metric {metric}"
    match draw(st.sampled_from(["via", "via", "via", "link", "blackhole", "multipath"])):
        case "link":
            return f"{prefix} dev docker0 {tail}"
        case "blackhole" if family == 4:
            return f"blackhole {prefix} {tail}"
        case "multipath":
            one, other = node(draw(NUMBERS), family), node(7, family)
            return f"{prefix} {tail} nexthop via {one} dev {DEV} nexthop via {other} dev {DEV}"
        case _:
            return f"{prefix} via {node(draw(NUMBERS), family)} dev {DEV} {tail}"


@dataclass(frozen=True)
class World:
    cluster: Cluster
    facts: Mapping[str, Facts]


@st.composite
def worlds(draw: st.DrawFn, *, appended: bool = False) -> World:
    """A cluster, and what its machines have; `appended`: also several routes of one key."""
    families = draw(st.sampled_from([(4,), (6,), (4, 6)]))
    of = cluster(draw(st.integers(1, 4)), draw(st.integers(0, 1)), families)
    asked = {}
    for number, machine in enumerate(of.machines):
        lines = [
            line
            for family in families
            for line in draw(
                st.lists(
                    found_lines(family),
                    max_size=5,
                    unique_by=None if appended and family == 4 else lambda line: route(line).key,
                )
            )
        ]
        asked[machine.name] = facts(number, *dict.fromkeys(lines), families=families)
    return World(of, asked)


ALLOWED = st.builds(
    Allowed, adopt=st.booleans(), replace=st.booleans(), prune=st.booleans(), force=st.booleans()
)
LAW = settings(suppress_health_check=[HealthCheck.too_slow])


def leads(table: list[Route], prefix: str) -> Route | None:
    """The route that the kernel uses for all of a prefix, None where that is not one."""
    network = ip_network(prefix)
    main = [r for r in table if r.table == "main" and r.tos == "0"]
    return next((r for r in sorted(main, key=lambda r: r.metric) if r.prefix == network), None)


@LAW
@given(worlds(), ALLOWED)
def test_a_plan_carried_out_gives_what_was_wanted_and_planning_again_nothing(
    world: World, allowed: Allowed
) -> None:
    plan = plan_routes(world.cluster, world.facts, allowed)
    after = {}
    for machine in plan.machines:
        found = world.facts[machine.name]
        kernel = carried_out(found, machine)
        after[machine.name] = replace(found, routes=tuple(kernel.table))
        if machine.conflicts or machine.refusals:
            continue
        for worker in world.cluster.workers:
            for prefix in worker.pod_cidrs if worker.name != machine.name else ():
                used = leads(kernel.table, str(prefix))
                assert used is not None
                assert used.next_hop == worker.internal_ip(prefix.version)
                assert not [
                    r
                    for r in kernel.table
                    if r.prefix != prefix
                    and within(r.prefix, (prefix,))
                    and r.next_hop != used.next_hop
                ]
    again = plan_routes(world.cluster, after, allowed)
    assert {m.name: m.changes for m in again.machines} == {m.name: () for m in again.machines}


@LAW
@given(worlds(appended=True), ALLOWED)
def test_every_line_of_a_plan_is_one_that_the_kernel_takes(world: World, allowed: Allowed) -> None:
    for machine in plan_routes(world.cluster, world.facts, allowed).machines:
        carried_out(world.facts[machine.name], machine)


def test_of_routes_that_share_a_key_the_kernel_replaces_the_first() -> None:
    """One typed by hand, and ours behind it, as `ip route append` puts it there."""
    found = facts(0, TYPED, f"{pods(1)} dev docker0 proto 214")
    (plan,) = plan_routes(cluster(2), {"worker-0": found}, Allowed(adopt=True)).machines
    kernel = carried_out(found, plan)
    assert [r.words for r in kernel.table if r.prefix == ip_network(pods(1))] == [wanted(1)]


@LAW
@given(worlds(), ALLOWED)
def test_undo_after_a_plan_gives_what_was_found(world: World, allowed: Allowed) -> None:
    for machine in plan_routes(world.cluster, world.facts, allowed).machines:
        found = world.facts[machine.name]
        kernel = carried_out(found, machine)
        undone(kernel, machine)
        assert sorted(map(repr, bare(kernel.table))) == sorted(map(repr, bare(found.routes)))


@LAW
@given(worlds(), ALLOWED)
def test_rollback_after_a_plan_takes_back_every_route_of_ours(
    world: World, allowed: Allowed
) -> None:
    plan = plan_routes(world.cluster, world.facts, allowed)
    for machine in plan.machines:
        found = world.facts[machine.name]
        displaced = {
            keep.file: Displaced(
                keep.file,
                tuple(
                    r
                    for r in found.routes
                    if (r.prefix, protocol_number(r.protocol)) == (keep.prefix, keep.protocol)
                ),
            )
            for keep in steps(machine, "1").keeps
        }
        after = replace(
            found,
            routes=tuple(carried_out(found, machine).table),
            displaced=tuple(displaced.values()),
        )
        (back,) = plan_rollback(world.cluster, {machine.name: after}).machines
        kernel = carried_out(after, back)
        restored = [r for kept in back.restores for r in kept.routes if r not in kernel.table]
        foreign = [r for r in found.routes if not r.owned]
        assert sorted(bare([*kernel.table, *restored]), key=str) == sorted(bare(foreign), key=str)


@LAW
@given(worlds(appended=True), ALLOWED)
def test_what_must_never_be_planned(world: World, allowed: Allowed) -> None:
    plan = plan_routes(world.cluster, world.facts, allowed)
    for machine in plan.machines:
        own = world.cluster.machine(machine.name).pod_cidrs
        for change in machine.changes:
            for r in (*change.take, *([change.put] if change.put else [])):
                assert within(r.prefix, world.cluster.pod_networks)
                assert r.table == "main"
            if change.put is not None:
                assert change.put.owned
                assert not any(change.put.prefix.overlaps(cidr) for cidr in own)
            for r in change.take:
                assert r in world.facts[machine.name].routes
                assert r.protocol != "kernel"
                if not r.owned:
                    assert allowed.replace or (allowed.adopt and change.put is not None)
    assert all(not change.take or not plan.only_adds for m in plan.machines for change in m.changes)


@LAW
@given(worlds())
def test_nothing_but_routes_of_ours_is_ever_taken_unasked(world: World) -> None:
    taken = [
        r
        for m in plan_routes(world.cluster, world.facts, Allowed()).machines
        for change in m.changes
        for r in change.take
    ]
    assert all(r.owned for r in taken)


def test_a_next_hop_that_is_the_machine_itself_is_refused() -> None:
    own = (*facts(0).addresses, (DEV, ip_interface(f"{node(1)}/24")))
    (plan,) = plan_routes(cluster(2), {"worker-0": facts(0, addresses=own)}, NONE).machines
    assert "an address of this machine itself" in plan.refusals[0]


def test_pods_inside_the_internal_network_are_refused() -> None:
    """No address of a machine is in there, yet a part of the link would be gone."""
    two = cluster(2)
    inner = replace(two.machines[1], pod_cidrs=(ip_network("10.240.0.128/25"),))
    wide = replace(two, pod_networks=(ip_network("10.0.0.0/8"),), machines=(two.machines[0], inner))
    (plan,) = plan_routes(wide, {"worker-0": facts(0)}, NONE).machines
    assert "a part of its internal network 10.240.0.0/24" in plan.refusals[0]
