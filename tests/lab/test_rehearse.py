"""rehearse: the rest of the command line on a twin of its own, which leaves nothing."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests import forked
from tests.paths import FAB, PROJECT

from .kit import ok


def fab(directory: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run fab in a directory, on this machine: only what rehearses may be run here."""
    env = {"HOME": str(directory), "PATH": os.environ["PATH"], **environment}
    return forked.fab(*arguments, cwd=directory, env=env)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the hosts.toml as shipped."""
    shutil.copy(PROJECT / "hosts.toml", tmp_path)
    return tmp_path


def test_the_demo(directory: Path) -> None:
    before = sorted(directory.iterdir())
    argv = [*FAB, "rehearse", "apply-routes", "verify", "rollback"]
    out = ok(subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False))
    assert "6 added on 3 machines" in out
    assert "6 of 6 pairs; machine to pod: 6 of 6" in out
    assert "6 deleted on 3 machines" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert sorted(directory.iterdir()) == before


@pytest.mark.parametrize("line", ["plan rehearse", "apply-routes rehearse verify"])
def test_anywhere_but_first_it_is_an_error_before_anything_runs(directory: Path, line: str) -> None:
    done = fab(directory, *line.split())
    assert "rehearse must come first" in done.stderr
    assert ok(done, status=1) == ""


def test_nothing_of_the_operators_own_is_used(directory: Path) -> None:
    """An ssh_config that would lead elsewhere, an agent, a key file that is not there."""
    (directory / ".ssh").mkdir()
    (directory / ".ssh/config").write_text(
        "Host *\n  HostName 192.0.2.1\n  User nobody\n  Port 1\n  ProxyJump 192.0.2.2\n"
    )
    (directory / ".ssh/known_hosts").write_text("@revoked * ssh-ed25519 AAAA\n")
    done = fab(directory, "rehearse", "plan", SSH_AUTH_SOCK="/nonexistent")
    assert "6 to add" in ok(done)
    assert not (directory / "known_hosts").exists()


def test_debug_shows_what_each_machine_was_sent_and_answered(directory: Path) -> None:
    """Invoke's own log would show the configuration, and every password in it."""
    typed = "fa1rly-secret"
    (directory / ".fabric.yaml").write_text(f"sudo: {{password: {typed}}}\n")
    done = fab(directory, "--debug", "rehearse", "plan", FABRIC_SUDO_PASSWORD=typed)
    assert "6 to add" in ok(done)
    lines = done.stderr.splitlines()
    for number in range(3):
        sent = lines.index(f"worker-{number} > main() {{")
        heard = [
            n
            for n, line in enumerate(lines)
            if " dev enp6s0 table 254 " in line and line.startswith(f"worker-{number} < ")
        ]
        assert heard
        assert sent < heard[0]
    assert typed not in done.stdout + done.stderr
    assert "paramiko" not in done.stderr
    assert all(line.isprintable() for line in lines)
    assert "worker-0 " not in fab(directory, "rehearse", "plan").stderr


def test_host_names_and_what_is_left_out_are_invented_and_said(directory: Path) -> None:
    toml = directory / "hosts.toml"
    text = toml.read_text().replace("203.0.113.11", "two.example.com")
    toml.write_text(
        "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith("internal_ip")
        )
    )
    done = fab(directory, "rehearse", "apply-routes", "verify")
    assert "two.example.com" in done.stderr
    assert "6 of 6 pairs" in ok(done)


def test_another_inventory_in_the_same_rehearsal_is_refused(directory: Path) -> None:
    shutil.copy(directory / "hosts.toml", directory / "other.toml")
    done = fab(directory, "rehearse", "plan", "--inventory", "other.toml")
    ok(done, status=1)
    assert "this is a rehearsal of hosts.toml" in done.stderr
    assert "6 to add" in ok(fab(directory, "rehearse", "--inventory", "other.toml", "plan"))
    assert "6 to add" in ok(fab(directory, "rehearse", "plan", FABRIC_INVENTORY="other.toml"))


def test_mistakes_end_in_plain_lines(directory: Path) -> None:
    ok(fab(directory, "rehearse", "plan", "--limit", "worker-9"), status=1)
    ok(fab(directory, "rehearse", "plan", "--format", "xml"), status=1)
    ok(fab(directory, "-H", "worker-0", "rehearse"), status=1)
    ok(fab(directory, "plan", "--no-such-flag"), status=1)
    (directory / "hosts.toml").write_text("[cluster\n")
    ok(fab(directory, "plan"), status=1)
    (directory / "hosts.toml").unlink()
    done = fab(directory, "plan")
    ok(done, status=1)
    assert "--inventory" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dry apply-routes", "--dry is not used here"),
        ("plan --parallel many", "--parallel: many is not a whole number"),
        ("apply-routes --confirm-timeout 1m", "--confirm-timeout: 1m is not a whole number"),
        ("apply-routes -n", "No idea what '-n' is!"),
        ("rehearse", "rehearse what?"),
        ("history --number -1", "--number -1: choose 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    directory: Path, words: str, said: str
) -> None:
    done = fab(directory, *words.split())
    assert ok(done, status=1) == ""
    assert said in done.stderr


def test_the_keeper_of_a_lab_is_used(directory: Path) -> None:
    try:
        ok(fab(directory, "lab.up"))
        assert "6 added" in ok(fab(directory, "rehearse", "apply-routes"))
        assert "6 routes in sync" in ok(fab(directory, "rehearse", "apply-routes"))
    finally:
        ok(fab(directory, "lab.down"))


def test_output_that_nobody_reads_to_its_end(directory: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *FAB, "rehearse", "plan", "plan", "plan"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""


def test_killed_at_any_moment_it_leaves_no_process(directory: Path) -> None:
    for output in ("machine", "done", "IPv4"):
        with subprocess.Popen(
            [*FAB, "rehearse", "plan", "apply-routes", "verify", "rollback"],
            cwd=directory,
            stdout=subprocess.PIPE,
            text=True,
        ) as run:
            assert run.stdout is not None
            for line in run.stdout:
                if line.startswith(output):
                    break
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            run.send_signal(signal.SIGKILL)
        assert children
        for child in children:
            while Path(f"/proc/{child}").exists():
                os.sched_yield()  # the test's own time limit ends this
