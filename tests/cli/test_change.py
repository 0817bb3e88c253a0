"""What reading and planning cost; timed by `pytest --benchmark-only tests/cli/test_change.py`.

`make bench` does the same with a kernel's own lines, up to 2,000 workers.
"""

from typing import Any

import pytest

from tasks.planning.model import Verb
from tests.bench import planning

WORKERS = (10, 100)


def shown(workers: int) -> list[str]:
    """Lines as a kernel shows them."""
    return [
        f"unicast {planning.pods(n)} via {planning.node(n)} dev enp6s0 table main proto 214"
        " scope global"
        for n in range(workers)
    ]


@pytest.mark.parametrize("workers", WORKERS)
def test_all_is_right(benchmark: Any, workers: int) -> None:
    said = dict(planning.answers(workers, shown(workers)))
    plan = benchmark(planning.planned, planning.cluster(workers), said)
    assert plan.empty
    assert [len(machine.in_sync) for machine in plan.machines] == [workers - 1] * workers


@pytest.mark.parametrize("workers", WORKERS)
def test_all_is_to_be_added(benchmark: Any, workers: int) -> None:
    said = dict(planning.answers(workers, []))
    plan = benchmark(planning.planned, planning.cluster(workers), said)
    assert [machine.count(Verb.ADD) for machine in plan.machines] == [workers - 1] * workers
    assert not plan.blocked


@pytest.mark.parametrize("workers", WORKERS)
def test_all_leads_elsewhere(benchmark: Any, workers: int) -> None:
    lines = [line.replace("via 172.16.0.", "via 172.16.9.") for line in shown(workers)]
    said = dict(planning.answers(workers, lines))
    plan = benchmark(planning.planned, planning.cluster(workers), said)
    assert [machine.count(Verb.REPLACE) for machine in plan.machines] == [workers - 1] * workers
