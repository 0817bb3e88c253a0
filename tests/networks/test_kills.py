"""A few rounds of `python -m tests.networks.kills`: each command line killed twice."""

import pytest

from .kills import VERBS, rounds


@pytest.mark.system
def test_an_operator_killed_at_a_request_leaves_nothing_that_the_next_run_does_not_clear_up() -> (
    None
):
    results = rounds(2 * len(VERBS), seed=3, at_once=2)
    assert [complaint for result in results for complaint in result.complaints] == []
    assert any(result.end == "some changed" for result in results)
