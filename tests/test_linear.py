"""Twice as much said by one machine costs twice the work, not four times: counted, not timed."""

import cProfile
import pstats
from collections.abc import Callable, Iterator

import pytest

from tasks.changes import Allowed, Plan
from tasks.complete import complete
from tasks.evidence import read_evidence
from tasks.facts import read
from tasks.reconcile import plan_routes
from tasks.route import parse
from tasks.tables import dry_run_report, plan_json, plan_report
from tasks.wayback import plan_last, plan_rollback

from .builders import DEV, cluster, node, pods
from .large import answer, iptables_of_services, nft_of_services, routes_inside

SIZE = 250
GROWTH = 5  # times the work for four times as much: n log n at the most


def calls(of: Callable[[], object]) -> int:
    """How many functions were called, those of C too; lines read before are read anew."""
    parse.cache_clear()
    with cProfile.Profile() as profile:
        of()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def grows(of: Callable[[int], Callable[[], object]]) -> float:
    """How many times the work is, where there is four times as much."""
    of(8)()  # what is made once, and kept, is no part of either
    return calls(of(4 * SIZE)) / calls(of(SIZE))


@pytest.mark.parametrize("listing", [nft_of_services, iptables_of_services])
def test_a_firewall_by_its_services(listing: Callable[[int], list[str]]) -> None:
    def reading(services: int) -> Callable[[], object]:
        lines = ["== firewall 4", *listing(services), "== firewall 6", "== end"]
        text = "\n".join(lines)
        return lambda: read_evidence(text)

    assert grows(reading) < GROWTH


STRAY = f"via {node(9)} dev {DEV} table main proto"


def _owned_elsewhere(n: int) -> list[str]:
    return [f"unicast 10.200.{100 + k // 256}.{k % 256} {STRAY} 214" for k in range(n)]


def _rules(n: int) -> list[str]:
    return [f"100:\tfrom all to 10.200.1.{k % 256} lookup {7 + k}" for k in range(n)]


SAID: dict[str, Callable[[int], str]] = {
    "foreign inside": lambda n: answer(0, *routes_inside(1, n, f"{STRAY} static")),
    "owned inside": lambda n: answer(0, *routes_inside(1, n, f"{STRAY} 214")),
    "kernel's inside": lambda n: answer(0, *routes_inside(1, n, f"{STRAY} kernel")),
    "inside its own": lambda n: answer(0, *routes_inside(0, n, f"{STRAY} static")),
    "at one prefix": lambda n: answer(
        0, *(f"unicast {pods(1)} {STRAY} static metric {k}" for k in range(n))
    ),
    "alike": lambda n: answer(0, *[f"unicast {pods(1)} {STRAY} static"] * n),
    "right, at one prefix": lambda n: answer(
        0,
        *(
            f"unicast {pods(1)} via {node(1)} dev {DEV} table main proto static metric {k}"
            for k in range(n)
        ),
    ),
    "stale": lambda n: answer(0, *_owned_elsewhere(n)),
    "outside": lambda n: answer(
        0, *(f"unicast 10.9.{k // 256}.{k % 256} {STRAY} 214" for k in range(n))
    ),
    "rules to one table": lambda n: answer(
        0,
        *(f"100:\tfrom all to 10.200.1.{k % 256} lookup 7" for k in range(n)),
        *(
            f"unicast 10.200.1.{k % 256} via 10.240.0.9 dev {DEV} table 7 metric {k}"
            for k in range(n)
        ),
    ),
    "rules to tables": lambda n: answer(
        0,
        *_rules(n),
        *(f"unicast 10.200.1.0/24 via 10.240.0.9 dev {DEV} table {7 + k}" for k in range(n)),
    ),
    "exempting rules": lambda n: answer(
        0, *(f"100:\tfrom all to 10.200.1.{k % 256} lookup main" for k in range(n)), *_rules(n)
    ),
    "addresses": lambda n: answer(
        0, *(f"2: {DEV}    inet 10.241.{k // 256}.{k % 256}/16 scope global" for k in range(n))
    ),
    "bridges": lambda n: answer(
        0,
        *(f"{k}: br{k}: <BROADCAST> mtu 1500 qdisc" for k in range(9, n + 9)),
        *(f"{k}: br{k}    inet 10.241.{k // 256}.{k % 256}/32 scope global" for k in range(n)),
    ),
    "kept": lambda n: answer(0, kept_4=_owned_elsewhere(n)),
    "kept, and others there": lambda n: answer(
        0,
        *(f"unicast {pods(1)} {STRAY} static metric {k}" for k in range(n)),
        kept_4=[f"unicast {pods(1)} {STRAY} 214 metric {k}" for k in range(n)],
    ),
    "CNI ranges": lambda n: answer(
        0,
        **{
            "cni_/etc/cni/net.d/10.conf": [
                '{"type": "bridge", "ipam": {"type": "host-local", "ranges": [',
                ",".join(f'[{{"subnet": "10.200.0.{k % 256}/32"}}]' for k in range(n)),
                "]}}",
            ]
        },
    ),
    "kubelet's": lambda n: answer(
        0, **{"kubelet_/var/lib/kubelet/config.yaml": [f"podCIDR: {pods(0)}"] * n}
    ),
    "displaced": lambda n: answer(
        0,
        **{
            f"displaced_/run/d/20250101T0{k % 8}_4_{pods(1).replace('/', '-')}_{k}.text": [
                f"unicast {pods(1)} via {node(9)} dev {DEV} table main proto {k}"
            ]
            for k in range(n)
        },
    ),
    "last": lambda n: answer(
        0,
        last=[
            "20250101T000000",
            *(f"put 10.200.1.{k % 256} via {node(1)} dev {DEV} metric {k}" for k in range(n)),
            *(f"took 10.200.2.{k % 256} via {node(1)} dev {DEV} metric {k}" for k in range(n)),
        ],
    ),
    "next hop groups": lambda n: answer(
        0,
        f"unicast {pods(1)} nhid 7 table main proto static",
        *(f" \tnexthop group \\\tnexthop via {node(9)} dev {DEV} weight 1" for _ in range(n)),
    ),
}


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("allowed", [Allowed(), Allowed(adopt=True, replace=True, prune=True)])
def test_plans_by_what_one_machine_says(name: str, allowed: Allowed) -> None:
    of = cluster(3)

    def planning(number: int) -> Callable[[], object]:
        text = SAID[name](number)
        return lambda: [(plan_report(p), plan_json(p, of), dry_run_report(p)) for p in plans(text)]

    def plans(text: str) -> Iterator[Plan]:
        facts = {m.name: read(text if k == 0 else answer(k)) for k, m in enumerate(of.machines)}
        whole, _ = complete(of, facts)
        yield plan_routes(whole, facts, allowed)
        yield plan_rollback(whole, facts)
        yield plan_last(whole, facts)

    assert grows(planning) < GROWTH
