"""Causes from values: whom they blame, how many pairs one explains, what is read of trials."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.connectivity.verdict import Pair
from tasks.diagnosis.evidence import Evidence, read_evidence
from tasks.diagnosis.firewall import Firewall, read_firewall
from tasks.diagnosis.isolate import schedule
from tasks.diagnosis.links import settings_causes
from tasks.diagnosis.model import Scene
from tasks.diagnosis.mtu import mtu_causes
from tasks.diagnosis.path import trial_causes
from tasks.diagnosis.trials import End, Trial, Trials, read_trials
from tasks.facts.model import Facts
from tests.builders import cluster, facts, wanted

QUIET = Evidence({}, {}, dict.fromkeys((4, 6), Firewall(complete=True)))
NOTHING = End(requests=0, dropped={}, neighbour="REACHABLE", filtered=False)


def name(number: int) -> str:
    return f"worker-{number}"


def pair(source: int, target: int, *, from_pod: bool = True) -> Pair:
    return Pair(name(source), name(target), 4, from_pod, "silent")


def scene(workers: int, silent: Sequence[Pair], without: Iterable[tuple[int, int]] = ()) -> Scene:
    """A cluster with all routes, but for some: at one worker, to another."""
    lacking = set(without)
    machines: Mapping[str, Facts] = {
        name(n): facts(n, *(wanted(o) for o in range(workers) if o != n and (n, o) not in lacking))
        for n in range(workers)
    }
    every = [pair(a, b) for a, b in permutations(range(workers), 2)]
    ok = [replace(p, verdict="ok", received=3) for p in every if p not in silent]
    return Scene(cluster(workers), machines, dict.fromkeys(machines, QUIET), [*ok, *silent])


def lost(*pairs: Pair) -> Trials:
    """Trials in which nothing was seen anywhere."""
    return Trials(tuple(Trial(p, False, False, "", NOTHING, NOTHING) for p in pairs))


def told(of: Scene, tried: Trials) -> list[tuple[str, int]]:
    """The causes in words, and how many pairs each explains."""
    found = [*settings_causes(of), *trial_causes(of, tried, of.silent), *mtu_causes(of, tried)]
    return [(cause.words, len(cause.pairs)) for cause in found]


def test_a_missing_route_silences_its_pairs_both_ways_and_nobody_elses() -> None:
    silent = [pair(0, 1), pair(1, 0), pair(0, 1, from_pod=False)]
    found = settings_causes(scene(4, silent, [(0, 1)]))
    assert [(c.machine, c.words, set(c.pairs)) for c in found] == [
        ("worker-0", "worker-0 has no route to the pods of worker-1", set(silent))
    ]


def test_many_missing_routes_are_one_cause_with_a_few_names() -> None:
    silent = [pair(0, n) for n in range(1, 9)]
    found = settings_causes(scene(9, silent, [(0, n) for n in range(1, 9)]))
    assert [c.words for c in found] == [
        "worker-0 has no route to the pods of worker-1, worker-2, worker-3 and 5 more"
    ]


def test_a_cluster_without_any_route_has_one_cause() -> None:
    every = list(permutations(range(5), 2))
    silent = [pair(a, b) for a, b in every]
    (cause,) = settings_causes(scene(5, silent, every))
    assert (cause.machine, cause.words) == ("", "no worker has a route to the others' pods")
    assert len(cause.pairs) == 20


def test_what_one_machine_sends_is_told_of_it() -> None:
    silent = [pair(1, n) for n in (0, 2, 3)]
    assert told(scene(4, silent), lost(*silent)) == [
        ("packets from worker-1's pods to the others are lost on the network between them", 3)
    ]


def test_what_one_machine_should_get_is_told_of_it() -> None:
    silent = [pair(n, 1) for n in (0, 2, 3)]
    assert told(scene(4, silent), lost(*silent)) == [
        ("packets from the others to worker-1's pods are lost on the network between them", 3)
    ]


def test_what_everybody_loses_is_the_networks() -> None:
    silent = [pair(a, b) for a, b in permutations(range(4), 2)]
    assert told(scene(4, silent), lost(*silent)) == [
        ("packets between pods are lost on the network between the machines", 12)
    ]


def test_two_separate_losses_are_two_causes() -> None:
    silent = [pair(0, 1), pair(2, 3)]
    assert [number for _, number in told(scene(4, silent), lost(*silent))] == [1, 1]


def test_pairs_that_were_not_tried_go_with_those_that_were() -> None:
    silent = [pair(1, n) for n in range(6) if n != 1]
    of = scene(6, silent)
    assert told(of, lost(*silent[:2])) == [
        ("packets from worker-1's pods to the others are lost on the network between them", 5)
    ]
    other = replace(of, pairs=[*of.pairs, pair(4, 5)])
    assert told(other, lost(*silent[:2]))[-1] == (
        "not tested one by one: there was no time for all pairs",
        1,
    )


def test_an_answer_on_its_own_blames_nobody() -> None:
    answered = Trial(pair(0, 1), True, False, "", NOTHING, replace(NOTHING, requests=2))
    (cause,) = trial_causes(scene(3, [pair(0, 1)]), Trials((answered,)), [pair(0, 1)])
    assert cause.machine == ""
    assert "only sometimes" in cause.words


def test_large_packets_lost_between_two_machines() -> None:
    large = replace(pair(0, 1), verdict="large lost")
    of = replace(scene(3, []), pairs=[large])
    assert told(of, Trials((), {large: 1420})) == [
        ("packets above 1420 bytes are lost between worker-0 and worker-1", 1)
    ]


NOISE = "iptables, policy DROP of INPUT"
GUARDED = """\
program iptables nft
*filter
:INPUT DROP [5:420]
nft
table inet f {
chain c {
type filter hook forward priority filter; policy accept;
tcp dport 25 drop
}
}
complete"""


def guarded(of: Scene, listing: str) -> Scene:
    """The same with this firewall on every machine."""
    evidence = replace(QUIET, firewalls={4: read_firewall(listing.splitlines(), 4)})
    return replace(of, evidence=dict.fromkeys(of.facts, evidence))


def test_a_firewall_that_drops_others_packets_meanwhile_is_not_blamed() -> None:
    silent = [pair(1, n) for n in (0, 2, 3)]
    of = guarded(scene(4, silent), GUARDED)
    noisy = replace(NOTHING, dropped={NOISE: 3})
    tried = [Trial(p, False, False, "", noisy, noisy) for p in silent]
    assert told(of, Trials(tuple(tried))) == [
        ("packets from worker-1's pods to the others are lost on the network between them", 3)
    ]
    (cause,) = trial_causes(of, Trials((replace(tried[0], tcp=80),)), silent[:1])
    assert "network" in cause.words
    own = replace(tried[0], pair=pair(1, 0, from_pod=False), target=replace(NOTHING, requests=2))
    (cause,) = trial_causes(of, Trials((own,)), [own.pair])
    assert "INPUT" in cause.words


BLOCKED = """\
program iptables nft
*filter
:FORWARD ACCEPT [0:0]
[9:756] -A FORWARD -m set --match-set blocked src -j DROP
nft
complete"""
SET = "iptables, -A FORWARD -m set --match-set blocked src -j DROP"


@pytest.mark.parametrize(
    ("listing", "dropped", "words"),
    [
        (BLOCKED, {}, "lost on the network between"),
        (BLOCKED, {SET: 1}, f"cannot say whether this rule drops them: {SET}"),
        (BLOCKED, {SET: 3}, f"worker-1's firewall drops packets for pods: {SET}"),
        (BLOCKED.removesuffix("complete"), {}, "not all of worker-1's firewall could be read"),
    ],
)
def test_a_rule_is_blamed_for_what_it_did_or_not_at_all(
    listing: str, dropped: Mapping[str, int], words: str
) -> None:
    of = scene(3, [pair(1, 0)])
    of = replace(of, evidence={**of.evidence, name(1): guarded(of, listing).evidence[name(1)]})
    trial = Trial(pair(1, 0), False, False, "", replace(NOTHING, dropped=dropped), NOTHING)
    (cause,) = trial_causes(of, Trials((trial,)), of.silent)
    assert words in cause.words


@given(st.integers(2, 9), st.data())
def test_a_machine_is_in_one_trial_of_a_round(workers: int, data: st.DataObject) -> None:
    every = [pair(a, b) for a, b in permutations(range(workers), 2)]
    silent = data.draw(st.lists(st.sampled_from(every), unique=True))
    plan = schedule(silent, rounds=4)
    assert len(plan) <= 4
    for chosen in plan:
        ends = [end for p in chosen for end in (p.source, p.target)]
        assert len(ends) == len(set(ends))
    tried = [p for chosen in plan for p in chosen]
    assert len(tried) == len(set(tried))
    assert set(tried) <= set(silent)


def test_every_machine_that_fails_is_tried_soon() -> None:
    silent = [pair(0, n) for n in range(1, 50)] + [pair(7, 8)]
    assert {(p.source, p.target) for p in schedule(silent)[0]} >= {(name(7), name(8))}


TEXT = st.lists(st.text(max_size=30), max_size=4)


@given(st.dictionaries(st.sampled_from(["link", "sysctl", "firewall 4", "firewall 6"]), TEXT))
def test_nonsense_is_no_evidence_or_some(found: dict[str, list[str]]) -> None:
    answer = "".join(f"== {head}\n" + "\n".join(lines) + "\n" for head, lines in found.items())
    with contextlib.suppress(ValueError):
        assert isinstance(read_evidence(answer + "== end\n"), Evidence)
    with pytest.raises(ValueError, match="breaks off"):
        read_evidence("== link\n")


SECTIONS = st.tuples(
    st.sampled_from(["ping", "hop", "before", "after", "after-firewall", "neighbour", "size"]),
    st.sampled_from(["0", "1", "0 1400", "0 x"]),
)


@given(st.dictionaries(SECTIONS, TEXT), st.dictionaries(SECTIONS, TEXT))
def test_nonsense_in_a_trial_is_no_traceback(
    one: dict[tuple[str, str], list[str]], other: dict[tuple[str, str], list[str]]
) -> None:
    tried = read_trials(
        [pair(0, 1), pair(1, 2)],
        [pair(0, 1)],
        {"worker-0": one, "worker-1": other},
        {name(n): facts(n) for n in range(3)},
    )
    assert [trial.pair for trial in tried.trials] == [pair(0, 1)]
