"""What every test leaves as it found it."""

import signal
from collections.abc import Iterator

import pytest

from tasks.interrupts import SIGNALS


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals as they were: a change made in this process leaves them ignored, for children too."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
