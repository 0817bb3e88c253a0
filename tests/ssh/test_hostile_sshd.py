"""Machines whose sshd speaks badly, without end or not at all: their trouble, and nobody else's."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from fabric import Config

from tasks.inventory.model import Cluster, Ssh
from tasks.ssh.errors import MAX_MESSAGE, MachineError
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import MAX_ANSWER
from tests.builders import cluster
from tests.hostile_sshd import Speak, dropping, floods, kex_init, packet, says, serving, ssh
from tests.paths import PROJECT

FAB = Path(sys.executable).with_name("fab")
VERSION = b"SSH-2.0-OpenSSH_9.2\r\n"
pytestmark = pytest.mark.system  # ssh-keygen, and addresses of its own

NASTY = "\x1b[2J\x9b31m\u202e" + "loud " * 400


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of the operator's."""
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def loopback(machines: int, port: int, key: Path) -> Cluster:
    """Workers at 127.0.0.1 and so on, all with this port."""
    named = cluster(machines)
    at = (replace(m, public_ip=f"127.0.0.{n}") for n, m in enumerate(named.machines, 1))
    ours = Ssh(user="root", port=port, key_file=key, host_keys="off", operators_own=False)
    return replace(named, machines=tuple(at), ssh=ours)


def fleet(machines: int, port: int, key: Path, connect: int = 2, config: str = "") -> Fleet:
    """The connections to such a cluster, which wait so many seconds for each."""
    told = Config(ssh_config=paramiko.SSHConfig.from_text(config))
    told.timeouts.connect = connect
    told.timeouts.command = connect
    return Fleet(loopback(machines, port, key), told)


def trouble(speak: Speak, key: Path, connect: int = 2) -> str:
    """What is said of a machine whose sshd speaks so."""
    with serving(speak) as server:
        there = fleet(1, server.port, key, connect)
        answer = there.ask({"worker-0": "main() { :; }"})["worker-0"]
        there.close()
    assert isinstance(answer, MachineError)
    return str(answer)


HANDSHAKES: dict[str, tuple[Speak, str]] = {
    "a share of 31 bytes": (ssh(short_share=True), "does not speak SSH as it should"),
    "a version in no UTF-8": (says(b"SSH-2.0-\xff\xfe\r\n"), "does not speak SSH as it should"),
    "names in no UTF-8": (says(VERSION + kex_init(b"\xff\xfe")), "does not speak SSH as it should"),
    "a version that is a terminal's": (
        says(b"SSH-9.9-" + NASTY.encode() + b"\r\n"),
        "does not speak SSH as it should: Incompatible version (9.9",
    ),
    "a banner that is a terminal's": (says((NASTY + "\r\n").encode() * 100), "ndecipherable"),
    "a banner without an end": (floods(b"x" * 1000), "does not answer within 2 s"),
    "a packet of 4 GB": (says(VERSION + b"\xff\xff\xff\xfc" * 1024), "announces a packet of"),
    "a disconnect that is a terminal's": (
        says(VERSION + packet(b"\x01\0\0\0\x02\0\0\0\x04\x1b[2J\0\0\0\0")),
        "127.0.0.1 port",
    ),
    "that it is none": (says(b"220 mail ESMTP\r\n", ends=True), 'says "220 mail ESMTP" instead of'),
    "that it is busy": (says(b"Exceeded MaxStartups\r\n", ends=True), "raise MaxStartups in its"),
    "that it bars us": (
        says(b"Not allowed at this time\r\n", ends=True),
        "logins from here have failed (PerSourcePenalties)",
    ),
    "something, then its version": (
        says(b"Welcome\r\n" + VERSION + b"\0" * 99, ends=True),
        "does not speak SSH as it should",
    ),
    "nothing": (says(b""), "does not answer within 2 s"),
    "no word on the key": (ssh(stall=True), "does not answer within 2 s"),
    "no word on the command": (ssh(), "no answer within 2 seconds"),
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_whatever_an_sshd_says_is_one_plain_line(case: str, key: Path) -> None:
    speak, words = HANDSHAKES[case]
    said = trouble(speak, key)
    assert words in said
    assert said.isprintable()
    assert len(said) <= MAX_MESSAGE
    assert "has no address" not in said


def test_what_a_server_says_that_is_no_sshd_and_waits_is_told(key: Path) -> None:
    """Paramiko waits two seconds for another line; the whole connect has to last longer."""
    said = trouble(says(b"+OK\r\n"), key, connect=8)
    assert 'says "+OK" instead of a version of SSH' in said


def test_a_name_that_dns_cannot_write_is_told_from_a_bad_answer(key: Path) -> None:
    there = fleet(1, 22, key)
    there.cluster = replace(
        there.cluster, machines=(replace(there.cluster.machines[0], public_ip="a" * 64),)
    )
    answer = there.ask({"worker-0": "main() { :; }"})["worker-0"]
    assert "has no address: check public_ip" in str(answer)


def talks(data: bytes, unasked: bool = False) -> Callable[[paramiko.Channel], None]:
    """A command that says that for ever; `unasked`: more than it was allowed, too."""

    def run(channel: paramiko.Channel) -> None:
        if unasked:
            channel.out_window_size = 1 << 60
        while True:
            channel.sendall(data)

    return run


def test_a_machine_that_never_stops_talking_is_cut_off(key: Path) -> None:
    with serving(ssh(talks(b"x" * 30_000))) as server:
        there = fleet(1, server.port, key, connect=60)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = there.ask({"worker-0": "main() { :; }"})["worker-0"]
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        there.close()
    assert "it says more than 16 MiB" in str(answer)
    assert grown * 1024 < 16 * MAX_ANSWER


def test_what_nobody_reads_may_not_pile_up(key: Path) -> None:
    """While other machines are waited for, nothing is read of this one."""
    ended = threading.Event()

    def run(channel: paramiko.Channel) -> None:
        try:
            talks(b"x" * 30_000, unasked=True)(channel)
        finally:
            ended.set()

    with serving(ssh(run)) as server:
        there = fleet(1, server.port, key)
        connection = there.connection("worker-0")
        there.open(connection)
        channel = connection.create_session()
        with suppress(paramiko.SSHException):  # it may say too much before it says yes
            channel.exec_command("anything")
        assert ended.wait(30)
        assert len(channel.in_buffer) <= channel.in_window_size
        there.close()


def test_one_bad_machine_is_no_trouble_to_the_others(key: Path) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(serving(ssh(short_share=True))).port
        stack.enter_context(serving(says(b""), "127.0.0.2", port))
        there = fleet(3, port, key)  # nobody is at 127.0.0.3
        answers = there.ask({f"worker-{n}": "main() { :; }" for n in range(3)})
        there.close()
    assert list(answers) == ["worker-0", "worker-1", "worker-2"]
    assert "does not speak SSH" in str(answers["worker-0"])
    assert "does not answer" in str(answers["worker-1"])
    assert "connection refused" in str(answers["worker-2"])


def opened(pid: int | str = "self") -> tuple[int, int]:
    """How many files and threads a process has."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208


def settled(limit: tuple[int, int], pid: int | str = "self") -> bool:
    """Whether a process comes back to so few files and threads."""
    deadline = time.monotonic() + 10
    while any(now > most for now, most in zip(opened(pid), limit, strict=True)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


PROXY = "Host *\n  ProxyCommand {}\n"


def test_a_proxy_command_is_run_and_ended(key: Path, tmp_path: Path) -> None:
    script = "echo $$ >{}; exec {} -c 'import socket,sys; sys.stdin.buffer.read()'"
    mark = tmp_path / "pid"
    (tmp_path / "proxy").write_text(script.format(mark, sys.executable))
    there = fleet(1, 22, key, config=PROXY.format(f"sh {tmp_path}/proxy"))
    answer = there.ask({"worker-0": "main() { :; }"})["worker-0"]
    assert str(answer).startswith("nothing comes through its ProxyCommand (sh) within 2 s: ")
    pid = int(mark.read_text())
    assert settled_gone(pid)


def settled_gone(pid: int) -> bool:
    """Whether a child ends."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_many_proxy_commands_have_room_or_nothing_is_begun(
    tmp_path: Path, inventory: Callable[..., None]
) -> None:
    inventory(22, 200)
    (tmp_path / "ssh_config").write_text(PROXY.format(f"touch {tmp_path}/begun"))
    limited = ["sh", "-c", 'ulimit -n 400; exec "$@"', "sh", str(FAB), "--search-root"]
    done = subprocess.run(
        [*limited, str(PROJECT), "-S", "ssh_config", "plan"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("200 machines take ")
    assert "400 are allowed here: `ulimit -n " in done.stderr
    assert not (tmp_path / "begun").exists()


MANY = 50


@pytest.fixture
def inventory(tmp_path: Path, key: Path) -> Callable[..., None]:
    """Writes the hosts.toml of many machines on this machine, all at a port."""

    def write(port: int, machines: int = MANY) -> None:
        lines = ['[cluster]\npod_networks = ["10.200.0.0/16"]\n[ssh]', f'key_file = "{key}"']
        lines.append(f'port = {port}\nhost_keys = "off"\nuser = "root"')
        for n in range(1, machines + 1):
            lines += ["[[workers]]", f'name = "w{n}"', f'public_ip = "127.0.0.{n}"']
            lines += [f'internal_ip = "10.240.0.{n}"', f'pod_cidr = "10.200.{n}.0/24"']
        (tmp_path / "hosts.toml").write_text("\n".join(lines) + "\n")

    return write


@contextmanager
def fab(tmp_path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A fab that runs here while the block does."""
    with subprocess.Popen(
        [FAB, "--search-root", PROJECT, *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("jump", [False, True])
def test_a_watch_of_what_never_opens_leaves_nothing_open(
    tmp_path: Path, inventory: Callable[..., None], key: Path, jump: bool
) -> None:
    with serving(ssh(stall=True)) as server:
        inventory(server.port, 1)
        way = f"  ProxyJump root@127.0.0.1:{server.port}\n" if jump else ""
        (tmp_path / "ssh_config").write_text(f"Host 127.*\n  IdentityFile {key}\n{way}")
        with fab(tmp_path, "-S", "ssh_config", "-t", "1", "watch", "--every", "1") as watch:
            server.wait(2)
            early = opened(watch.pid)
            server.wait(4)
            assert settled(early, watch.pid), (early, opened(watch.pid))


def interrupted(tmp_path: Path, ready: Callable[[], None], *task: str) -> None:
    """Run a task, and Ctrl-C it when things are so; it has to end within two seconds of that."""
    with fab(tmp_path, *task) as process:
        ready()
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - began
    assert "Traceback" not in err
    assert took < 2, err
    assert process.returncode == (0 if "watch" in task else 130), err


SPOKEN: dict[str, Speak] = {
    "says nothing": says(b""),
    "stalls in authentication": ssh(stall=True),
    "never answers": ssh(),
    "talks for ever before its version": floods(b"x\n"),
}


@pytest.mark.parametrize("task", ["plan", "watch"])
@pytest.mark.parametrize("case", SPOKEN)
def test_ctrl_c_waits_for_no_machine(
    tmp_path: Path, inventory: Callable[..., None], case: str, task: str
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(serving(SPOKEN[case]))
        for n in range(2, MANY + 1):
            stack.enter_context(serving(SPOKEN[case], f"127.0.0.{n}", first.port))
        inventory(first.port)
        interrupted(tmp_path, first.wait, task)


def test_ctrl_c_while_machines_drop_packets(tmp_path: Path, inventory: Callable[..., None]) -> None:
    with dropping() as port:
        inventory(port)

        def connecting() -> None:
            deadline = time.monotonic() + 30
            state = f"0100007F:{port:04X} 02"  # SYN_SENT to there, in /proc/net/tcp
            while state not in Path("/proc/net/tcp").read_text():
                assert time.monotonic() < deadline, "it never connected"
                time.sleep(0.01)

        interrupted(tmp_path, connecting, "plan")


def test_ctrl_c_while_a_jump_host_is_waited_for(
    tmp_path: Path, inventory: Callable[..., None]
) -> None:
    with serving(says(b"")) as jump:
        inventory(jump.port)
        (tmp_path / "ssh_config").write_text(f"Host 127.*\n  ProxyJump localhost:{jump.port}\n")
        interrupted(tmp_path, jump.wait, "-S", "ssh_config", "plan")
