"""What `fab watch` puts back, what it leaves alone, and when it gives up."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network
from types import SimpleNamespace

import pytest

from tasks.facts.model import Facts
from tasks.facts.pod_cidrs import Claim
from tasks.planning.model import Allowed, MachinePlan
from tasks.planning.reconcile import plan_routes
from tasks.rollout import watch as watching
from tasks.rollout.losses import Losses
from tasks.rollout.result import MachineResult, MachineState, Rollout
from tasks.rollout.watch import repair, unrepaired
from tasks.undo.records import Pending
from tests.builders import DEV, cluster, facts, node, pods, route, wanted

KEPT = (route(wanted(1)), route(wanted(2)))


def planned(found: Facts) -> MachinePlan:
    """The plan of worker-0."""
    (plan,) = plan_routes(cluster(4), {"worker-0": found}, Allowed(adopt=True)).machines
    return plan


def test_only_what_was_lost_is_put_back() -> None:
    """Worker 1 is lost, worker 2 is changed by hand, worker 3 never had a route."""
    by_hand = f"{pods(2)} via {node(9)} dev {DEV} proto 214"
    found = facts(0, by_hand, recorded=KEPT)
    assert {c.verb for c in planned(found).changes} == {"add", "replace"}
    made = repair(planned(found), found, Losses())
    assert [str(c.put) for c in made.changes] == [str(KEPT[0])]
    assert made.repair
    (told,) = unrepaired(planned(found), made, Losses())
    assert told.startswith("left alone: changed by someone else")


def test_nothing_is_put_back_where_a_run_waits_or_the_link_is_gone() -> None:
    waits = facts(0, recorded=KEPT, pending=Pending("run", "who", "since", "what", 5))
    assert repair(planned(waits), waits, Losses()).empty
    assert unrepaired(planned(waits), MachinePlan("worker-0"), Losses()) == []
    down = facts(0, recorded=KEPT)
    down = Facts(routes=tuple(r for r in down.routes if r.prefix.prefixlen == 0), recorded=KEPT)
    made = repair(planned(down), down, Losses())
    assert made.empty
    told = unrepaired(planned(down), made, Losses())
    assert sum(line.startswith("left alone: missing") for line in told) == 2
    assert any("not on a link" in line for line in told)


def test_a_route_is_given_up_when_it_is_lost_the_third_time_in_a_row() -> None:
    found = facts(0, wanted(2), recorded=KEPT)
    prefix = KEPT[0].prefix
    losses = Losses()
    for _ in range(2):
        losses.seen({prefix})
        assert not repair(planned(found), found, losses).empty
        losses.put_back([prefix])
    losses.seen({prefix})
    made = repair(planned(found), found, losses)
    assert made.empty
    assert unrepaired(planned(found), made, losses)[0].startswith(
        "missing again, left alone: missing"
    )
    losses.seen(set())
    assert not repair(planned(found), found, losses).empty


class NoFleet:
    """Machines that are not there: what they say is put into a test's mouth."""

    cluster = cluster(4)

    def run(self, name: str, script: str) -> str:
        """What is read of it is put into a test's mouth, too."""
        return name

    def connections(self, names: Iterable[str]) -> dict[str, SimpleNamespace]:
        config = SimpleNamespace(timeouts=SimpleNamespace(command=None))
        return {n: SimpleNamespace(config=config, close=lambda: None) for n in names}


def test_what_cannot_be_put_back_is_said_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    ends = [False, False, True]
    monkeypatch.setattr(
        watching,
        "roll_out",
        lambda *_: Rollout(
            (MachineResult("worker-0", MachineState.UNTOUCHED, "no disk"),), ends.pop(0)
        ),
    )
    watch = watching._Watch(NoFleet(), lambda _name, what: said.append(what))  # type: ignore[arg-type]
    for _ in range(3):
        watch._answered("worker-0", facts(0, wanted(2), recorded=KEPT))
    assert ends == []
    assert said == [
        f"not put back: no disk: {KEPT[0]}",
        f"put back: {KEPT[0]}",
        "all is well again",
    ]


def test_who_names_an_absent_workers_pod_cidr_is_not_believed_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """worker-1 says it has the pods of worker-2, which is down, and whose route worker-0 lost."""
    own = Claim("kubelet", (ip_network(pods(0)),))
    lie = Claim("kubelet", (ip_network(pods(2)),))
    answers = {
        "worker-0": facts(0, wanted(1), recorded=KEPT, claims=(own,)),
        "worker-1": facts(1, claims=(lie,)),
    }
    fleet = NoFleet()
    fleet.cluster = replace(
        cluster(3), machines=tuple(replace(m, pod_cidrs=()) for m in cluster(3).machines)
    )
    said: list[str] = []
    monkeypatch.setattr(watching, "roll_out", lambda *_: pytest.fail("something was put back"))
    watch = watching._Watch(fleet, lambda name, what: said.append(f"{name}: {what}"))  # type: ignore[arg-type]
    for name in ("worker-1", "worker-0", "worker-1", "worker-0"):
        watch._answered(name, answers[name])
    (line,) = said
    assert line.startswith("worker-1: is not as in hosts.toml: worker-1: names pod CIDR")


def test_what_takes_long_to_read_holds_up_no_other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    read_it = threading.Event()

    def read(answer: str, _: object) -> Facts:
        if answer == "worker-1":
            read_it.wait(30)
        return facts(0, missing=(answer,))

    told: list[str] = []
    monkeypatch.setattr("tasks.facts.survey.read", read)
    watch = watching._Watch(NoFleet(), lambda name, _: told.append(name))  # type: ignore[arg-type]
    watch.look()
    try:
        for _ in range(3):
            watch.answer(30)
        assert sorted(told) == ["worker-0", "worker-2", "worker-3"]
    finally:
        read_it.set()
    watch.answer(30)
    assert told[3:] == ["worker-1"]
