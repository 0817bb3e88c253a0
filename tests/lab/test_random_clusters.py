"""The short form of `make foresight`: random clusters answer as it was foreseen."""

import pytest

from .foresights import compare

pytestmark = pytest.mark.timeout(300)  # silent pairs are waited for, on two copies and by trials


def test_random_clusters_answer_as_foreseen() -> None:
    result = compare(first=7, clusters=3)
    assert result.wrong == []
    assert result.pairs
