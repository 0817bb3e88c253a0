"""What every test begins with."""

import signal

import pytest

from tasks.common.signals import SIGNALS

AT_START = {number: signal.getsignal(number) for number in SIGNALS}


@pytest.fixture(autouse=True)
def handlers() -> None:
    """Signals as they were: a change made in this process leaves them ignored, for children too."""
    for number, handler in AT_START.items():
        signal.signal(number, handler)
