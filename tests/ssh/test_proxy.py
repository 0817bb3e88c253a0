"""A ProxyCommand that fails is what is blamed, once and at once; a busy bastion is asked again."""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from fabric import Config

from tasks.inventory.model import Ssh
from tasks.ssh.fleet import Fleet
from tasks.ssh.proxy import expanded, program
from tests.builders import cluster
from tests.hostile_sshd import says, serving

WORKERS = 7
SSHD = """HostKey {dir}/id
AuthorizedKeysFile {dir}/id.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
LogLevel VERBOSE
"""


def test_tokens_are_those_of_ssh() -> None:
    words = expanded("x %h %n %p %r %% %d ~", "10.0.0.1", "worker-0", 2222, "ann")
    assert words == "x 10.0.0.1 worker-0 2222 ann % %d ~"


@pytest.mark.parametrize(
    ("command", "name"),
    [("ssh -W %h:%p b", "ssh"), ("exec /usr/bin/nc %h", "/usr/bin/nc"), ("A=secret nc", "nc")],
)
def test_messages_name_the_program_alone(command: str, name: str) -> None:
    assert program(command) == name


@pytest.fixture
def key(tmp_path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True
    )
    return tmp_path / "id"


def ask(key: Path, proxy: str, port: int = 22) -> list[str]:
    """What each worker answers over a ProxyCommand, or what is said of it."""
    config = paramiko.SSHConfig.from_text(f"Host *\n  ProxyCommand {proxy}\n")
    ssh = Ssh(user="root", host_keys="off", key_file=key, port=port, operators_own=False)
    named = cluster(WORKERS)
    at = (replace(m, public_ip=f"127.0.0.{n}") for n, m in enumerate(named.machines, 1))
    fleet = Fleet(replace(named, machines=tuple(at), ssh=ssh), Config(ssh_config=config))
    answers = fleet.ask({f"worker-{n}": "main() { echo in; }" for n in range(WORKERS)})
    fleet.close()
    return [str(answer).strip() for answer in answers.values()]


def ends(*lines: str, status: int) -> str:
    """A program that says these lines and ends."""
    said = "".join(f"echo {shlex.quote(line)} >&2; " for line in lines)
    return f"sh -c {shlex.quote(f'{said}exit {status}')}"


@pytest.mark.system
@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("/nowhere/nc %h %p", "its ProxyCommand cannot be run: /nowhere/nc: not found"),
        (
            "ssh -F none -p 9 -W %h:%p 127.0.9.9",
            "its ProxyCommand (ssh) ends with status 255: ssh: connect to host 127.0.9.9 port 9:"
            " Connection refused",
        ),
        (
            ends("Warning: Permanently added 'b'.", "channel 0: no", "failed", status=255),
            "its ProxyCommand (sh) ends with status 255: channel 0: no; failed",
        ),
        ("kill -9 $$", "its ProxyCommand (kill) ends by signal 9: it says nothing"),
    ],
)
def test_a_proxy_command_that_fails_is_the_cause_of_all(key: Path, proxy: str, said: str) -> None:
    proxy = proxy.replace("kill", f"{sys.executable} -c 'import os; os.kill(os.getpid(), 9)' kill")
    (only,) = set(ask(key, proxy))
    assert only == said.replace("(kill)", f"({sys.executable})")


@pytest.fixture
def sshd(key: Path) -> Iterator[Callable[..., int]]:
    """A function that starts a real sshd at some addresses of this machine; its port."""
    Path("/run/sshd").mkdir(exist_ok=True)
    started = []

    def start(*addresses: str, **settings: str) -> int:
        with serving(says(b"")) as free:
            port = free.port
        lines = [SSHD.format(dir=key.parent), *(f"ListenAddress {a}:{port}" for a in addresses)]
        lines += [f"{name} {value}" for name, value in settings.items()]
        config = key.parent / f"sshd-{port}"
        config.write_text("\n".join(lines) + "\n")
        log = config.with_suffix(".log")
        started.append(subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", config, "-E", log]))
        deadline = time.monotonic() + 30
        while not log.exists() or "listening on" not in log.read_text():
            assert time.monotonic() < deadline, "no sshd"
            time.sleep(0.02)
        return port

    yield start
    for process in started:
        process.terminate()
        process.wait()


@pytest.mark.system
def test_a_bastion_that_turns_logins_away_is_asked_again(
    key: Path, sshd: Callable[..., int]
) -> None:
    """MaxStartups of sshd_config(5): each worker's ProxyCommand logs in there anew."""
    bastion = sshd("127.0.1.1", MaxStartups="2:100:3")
    workers = sshd(*(f"127.0.0.{n}" for n in range(1, WORKERS + 1)), MaxStartups="100")
    strict = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    ssh = f"ssh -F none -i {key} {strict} -p {bastion} -W %h:%p root@127.0.1.1"
    assert ask(key, ssh, workers) == ["in"] * WORKERS
    assert "MaxStartups" in (key.parent / f"sshd-{bastion}.log").read_text()
