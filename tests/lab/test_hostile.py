"""One machine that speaks badly, or not at all, beside others that are well."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.paths import PROJECT

from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on

SERVER = """import sys, threading
from tests.hostile_sshd import serving, ssh
with serving(ssh(short_share=True), "127.0.0.1", 22):
    print("listening", flush=True)
    sys.stdin.read()
"""


@contextmanager
def instead_of(lab: Lab, machine: str) -> Iterator[None]:
    """Have hosts.toml lead to a hostile sshd instead of a machine."""
    address = lab.cluster.machine(machine).public_ip
    inventory = lab.cluster.path
    inventory.write_text(inventory.read_text().replace(f'"{address}"', '"127.0.0.1"'))
    with subprocess.Popen(
        [*lab.inside, sys.executable, "-c", SERVER],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        try:
            yield
        finally:
            server.communicate("", timeout=30)


def test_a_machine_with_a_hostile_sshd_is_left_out(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial())
    with instead_of(lab, "worker-1"):
        done = lab.fab("-t", "2", "plan")
        ok(done, status=1)
        assert "worker-1: 127.0.0.1 port 22 does not speak SSH as it should" in done.stderr
        done = lab.fab("-t", "2", "apply-routes", "--skip-unreachable", "--no-ping")
        ok(done, status=4)
        assert [t for t in done.stderr.splitlines() if "skipped worker-1" in t]
    assert "10.200.2.0/24" in "".join(lab.tables()["worker-0"])


def test_ctrl_c_while_a_ping_hangs(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial())
    ok(lab.fab("apply-routes", "--no-ping"))
    hung = "#!/bin/sh\necho >/run/hung\nexec sleep 100\n"
    on(
        lab,
        "worker-1",
        f"printf '%s' '{hung}' >/usr/local/sbin/ping; chmod 755 /usr/local/sbin/ping",
    )
    with lab.popen("verify") as fab:
        on(lab, "worker-1", "timeout 60 sh -c 'until [ -e /run/hung ]; do sleep 0.05; done'")
        fab.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = fab.communicate(timeout=30)
    assert time.monotonic() - began < 2
    assert fab.returncode == 130, out + err
    assert "Traceback" not in err
