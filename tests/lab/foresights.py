"""Random clusters: what was foreseen on a copy, compared with pings after the real change."""

import re
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tasks.cli.change import plan_cluster
from tasks.common.errors import Stop
from tasks.common.signals import allow
from tasks.connectivity.verdict import Pair
from tasks.foresight.model import Foresight
from tasks.foresight.try_out import foresee, look, operated
from tasks.planning.model import Allowed, Plan
from tasks.rollout.transaction import roll_out
from tasks.snapshots.take import take
from tasks.undo.run import new_run

from .conftest import Directories, MakeLab, labs, tutorial
from .kit import dual_stack
from .random_clusters import CLUSTER, FIRST, WORKERS, RandomCluster
from .random_machines import LAST
from .test_diagnosis import put_routes


@dataclass
class Result:
    """What came of random clusters. `unlike`: pairs that were foreseen wrong, a line each."""

    clusters: int = 0
    failed: int = 0  # the change fails on the copy, and on the machines too
    refused: int = 0  # the plan has conflicts: what is foreseen is what they do as they are
    unplanned: Counter[str] = field(default_factory=Counter)  # clusters, by why there is no plan
    pairs: int = 0
    answering: int = 0  # pairs that answer, as foreseen
    silent: int = 0  # pairs that do not, as foreseen
    doubts: Counter[str] = field(default_factory=Counter)  # pairs, by why nobody can say
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        """Add what came of other clusters."""
        self.clusters += other.clusters
        self.failed += other.failed
        self.refused += other.refused
        self.unplanned += other.unplanned
        self.pairs += other.pairs
        self.answering += other.answering
        self.silent += other.silent
        self.doubts += other.doubts
        self.wrong += other.wrong


def compare(first: int, clusters: int) -> Result:
    """Compare so many random clusters. `first`: which."""
    result = Result()

    @seed(first)
    @settings(
        max_examples=clusters,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(CLUSTER)
    def one(cluster: RandomCluster) -> None:
        with tempfile.TemporaryDirectory() as place, labs(Directories(Path(place))) as make_lab:
            _one(cluster, make_lab, result)

    run: Callable[[], None] = one
    run()
    return result


def _one(cluster: RandomCluster, make_lab: MakeLab, result: Result) -> None:
    lab = make_lab(dual_stack(WORKERS) if cluster.dual else tutorial(WORKERS))
    if cluster.routed:
        put_routes(lab)
    for number, commands in enumerate(cluster.commands):
        text = "\n".join([*FIRST, *commands, *LAST, ":"])
        lab.twin.run(f"worker-{number}", ["sh", "-c", text])
    result.clusters += 1
    allowed = Allowed(adopt=cluster.adopt, replace=cluster.replace)
    with operated(lab.twin, lab.cluster) as fleet:
        try:
            plan, found = plan_cluster(
                fleet, allowed, only=cluster.only, limit=cluster.limit, skip_unreachable=False
            )
            taken = take(fleet)
        except Stop as stop:
            result.unplanned[str(stop.message).splitlines()[-1]] += 1
            return
        if plan.blocked:
            result.refused += 1
            plan = Plan((), {})
        seen, why = None, ""
        try:
            seen = foresee(taken, plan, found, 1, lambda _: None)
        except Stop as stop:
            why = str(stop.message)
        rollout = roll_out(fleet, plan, found.facts, new_run(found.cluster.pod_networks, 60))
        allow()  # Ctrl-C
        if seen is None or not rollout.whole:
            if rollout.whole or seen is not None:
                result.wrong.append(f"{cluster}: the change fails, or not: {why} {rollout}")
            else:
                result.failed += 1
            return
        try:
            real, _ = look(fleet, seed=1)
        except Stop as stop:
            result.wrong.append(f"{cluster}: {stop.message}")
            return
    _judge(cluster, seen, real, result)


def _judge(cluster: RandomCluster, seen: Foresight, real: list[Pair], result: Result) -> None:
    """Compare each pair with what it is in reality."""
    verdicts = {(p.source, p.target, p.family, p.from_pod): p.verdict for p in real}
    for pair in seen.after:
        verdict = verdicts.pop((pair.source, pair.target, pair.family, pair.from_pod), "none")
        result.pairs += 1
        if pair in seen.doubts:
            result.doubts[re.sub(r"worker-\d", "a worker", seen.doubts[pair])] += 1
        elif pair.verdict == verdict == "ok":
            result.answering += 1
        elif pair.verdict == verdict:
            result.silent += 1
        else:
            way = f"{pair.source} {'pod' if pair.from_pod else ''} {pair.target} IPv{pair.family}"
            result.wrong.append(f"{cluster}: {way}: foreseen {pair.verdict}, is {verdict}")
    result.wrong += [f"{cluster}: {pair}: not foreseen" for pair in verdicts]
