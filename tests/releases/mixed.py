"""Every verb on a cluster of several Debian releases.

pytest does not find this file by its name: the Makefile names it where `make releases` has built
the releases. So no test is skipped where they are not.
"""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import labs

from .checks import VERBS, Mixed, mixed
from .machine import built, place

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    with (
        place() as directory,
        labs(tmp_path_factory) as make,
        mixed(make, built(), directory) as cluster,
    ):
        yield cluster


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb(cluster: Mixed, verb: str) -> None:
    VERBS[verb](cluster)
