"""What every test begins with, and which tests are marked `system`.

A test is marked `system` if it needs root or a program of a system package. `make check` leaves
these out, and `make test` runs them. No test is skipped: it runs, or it fails.
"""

import shutil
import signal

import hypothesis
import pytest

from tasks.common.signals import SIGNALS

AT_START = {number: signal.getsignal(number) for number in SIGNALS}
HELPERS = {"tests.scripts", "tests.browser"}  # run scripts under unshare, and Chromium
SHELLS = {"dash", "busybox"}
# What takes longest, longest first. The files are begun in this order, so that at the end none of
# them runs alone.
LONGEST = """tests.test_linear tests.ssh.test_answer tests.lab.test_armed tests.lab.test_canary
tests.lab.test_apply tests.lab.test_verify tests.lab.test_machines tests.lab.test_diagnosis
tests.lab.test_foreign tests.lab.test_bgp tests.lab.test_bgp_diagnosis tests.lab.test_networks
tests.lab.test_bgp_systemd tests.lab.test_bgp_proof tests.lab.test_foresight
tests.lab.test_random_clusters tests.lab.test_twin tests.ssh.test_hostile_sshd""".split()

# A busy machine is slow, and no test asserts a time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is known to need the system, and put the longest files first.

    Other tests are marked where they stand.
    """
    for item in items:
        if isinstance(item, pytest.Function) and _needs_the_system(item):
            item.add_marker(pytest.mark.system)
    items.sort(key=_when)


def _when(item: pytest.Item) -> int:
    """When the file of a test is begun."""
    name = item.module.__name__ if isinstance(item, pytest.Function) else ""
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def _needs_the_system(test: pytest.Function) -> bool:
    """Whether a test uses a twin, a helper that needs the system, or a shell that is missing."""
    in_lab = test.module.__name__.startswith("tests.lab.")
    used = {getattr(value, "__module__", None) for value in vars(test.module).values()}
    parameters = test.callspec.params.values() if hasattr(test, "callspec") else ()
    programs = {
        value.split()[0] for value in parameters if isinstance(value, str) and value.split()
    }
    missing = any(shutil.which(shell) is None for shell in programs & SHELLS)
    return in_lab or bool(used & HELPERS) or missing


@pytest.fixture(autouse=True)
def handlers() -> None:
    """Signals as they were: a change made in this process leaves them ignored, for children too."""
    for number, handler in AT_START.items():
        signal.signal(number, handler)
