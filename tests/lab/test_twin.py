"""The twin is what hosts.toml says, cut off from everything else, and leaves nothing."""

import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import permutations
from pathlib import Path

import pytest

from tasks.common.errors import Status, Stop
from tasks.inventory.model import Machine, Ssh
from tasks.twin import registry
from tasks.twin.lifecycle import Twin, build, find
from tasks.twin.registry import end
from tests.paths import FAB, PROJECT

from .conftest import Lab, MakeLab, hosts_toml, tutorial


def ssh(lab: Lab, machine: str, command: str, user: str = "root") -> str:
    """Log in with OpenSSH's own client and the twin's keys only."""
    options = {
        "IdentityFile": lab.twin.home / "key",
        "UserKnownHostsFile": lab.twin.home / "known_hosts",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "Port": lab.twin.spec.port,
        "User": user,
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    address = lab.twin.spec.host(machine).address
    done = subprocess.run(
        [*lab.inside, "ssh", "-F", "none", *flags, address, command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def output(twin: Twin, machine: str, command: str) -> str:
    return twin.run(machine, ["sh", "-c", command], check=True).stdout


def test_each_machine_answers_ssh_with_its_own_name(lab: Lab) -> None:
    for host in lab.twin.spec.hosts:
        assert ssh(lab, host.name, "hostname; cat /etc/hostname").split() == [host.name] * 2


def test_routes_are_those_of_a_worker_without_pod_routes(lab: Lab) -> None:
    assert [line for line in lab.tables()["worker-1"] if "table main" in line and "." in line] == [
        "unicast 10.200.1.0/24 dev cnio0 table main proto kernel scope link src 10.200.1.1",
        "unicast 10.240.0.0/24 dev enp6s0 table main proto kernel scope link src 10.240.0.7",
        "unicast 203.0.113.0/24 dev eth0 table main proto kernel scope link src 203.0.113.11",
        "unicast default via 203.0.113.1 dev eth0 table main proto boot scope global",
    ]


def test_a_worker_is_configured_as_in_the_tutorial(twin: Twin) -> None:
    kubelet = output(twin, "worker-1", "cat /var/lib/kubelet/kubelet-config.yaml")
    assert 'podCIDR: "10.200.1.0/24"' in kubelet.splitlines()
    bridge = json.loads(output(twin, "worker-1", "cat /etc/cni/net.d/10-bridge.conf"))
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.200.1.0/24"}]]
    assert output(twin, "worker-1", "cat /proc/sys/net/ipv4/ip_forward") == "1\n"
    assert "10.200.1.2" in output(twin, "worker-1", "ls /var/lib/cni/networks/bridge")
    assert twin.pod_addresses("worker-1") == ("10.200.1.2",)


def test_what_a_machine_puts_among_its_pods_addresses_is_not_shown(twin: Twin) -> None:
    output(
        twin,
        "worker-0",
        "cd /var/lib/cni/networks/bridge; mkfifo 10.200.0.7; ln -s /dev/zero 10.200.0.8;"
        " for name in 'fd00::1%$(id)' 'a\033[31m'; do echo twin-pod >$name; done",
    )
    assert twin.pod_addresses("worker-0") == ("10.200.0.2",)
    output(twin, "worker-0", "cd /var/lib/cni/networks/bridge; rm -f 10.200.0.[78] fd00* a*")


def test_pods_reach_each_other_once_the_tutorials_routes_are_there(make_lab: MakeLab) -> None:
    twin = make_lab(tutorial()).twin

    def answers(a: str, b: str) -> bool:
        ping = ["ping", "-n", "-c1", "-W1", twin.pod_addresses(b)[0]]
        return twin.run_in_pod(a, ping).returncode == 0

    pairs = list(permutations(("worker-0", "worker-1", "worker-2"), 2))
    assert not any(answers(a, b) for a, b in pairs)
    for a, b in pairs:
        other = twin.spec.host(b)
        route = ["ip", "route", "add", other.pod_cidrs[0], "via", other.internal_ips[0]]
        twin.run(a, route, check=True)
    assert all(answers(a, b) for a, b in pairs)


def test_nothing_leads_out_of_it(lab: Lab) -> None:
    def inside(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*lab.inside, *argv], capture_output=True, text=True, check=False)

    routes = inside("sh", "-c", "ip -4 route; ip -6 route show type unicast").stdout
    assert not [line for line in routes.splitlines() if "default" in line or " via " in line]
    assert "unreachable" in inside("ip", "route", "get", "192.0.2.1").stderr.lower()
    names = {
        line.split(": ")[1].split("@")[0] for line in inside("ip", "-o", "link").stdout.splitlines()
    }
    ports = {f"{n}-{nic}" for n in range(3) for nic in ("eth0", "enp6s0")}
    assert names == {"lo", "public", "private", *ports}


def test_a_machine_has_nothing_of_this_one_but_its_programs(twin: Twin) -> None:
    empty = "root home srv mnt media opt tmp var/log/journal var/spool"
    assert output(twin, "worker-0", f"cd /; find {empty} -mindepth 1 2>/dev/null || :") == ""
    top = output(twin, "worker-0", "ls -A /").split()
    assert set(top) <= {
        *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt"),
        *("opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"),
    }
    passwords = {
        line.split(":")[1] for line in output(twin, "worker-0", "cat /etc/shadow").splitlines()
    }
    assert passwords == {"*"}
    assert sorted(output(twin, "worker-0", "ls /etc/ssh").split()) == [
        *("authorized_keys", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "sshd_config"),
    ]
    assert set(output(twin, "worker-0", "ls /dev").split()) == {
        *("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
        *("tty", "urandom", "zero"),
    }
    links = set(output(twin, "worker-0", "ls /sys/class/net").split())
    assert {link for link in links if not link.startswith("veth")} == {
        *("cnio0", "enp6s0", "eth0", "lo"),
    }


def test_each_machine_has_files_of_its_own(twin: Twin) -> None:
    output(twin, "worker-0", "echo mine >/etc/twin-test; echo mine >/usr/twin-test")
    assert twin.run("worker-1", ["ls", "/etc/twin-test"]).returncode != 0
    assert not Path("/etc/twin-test").exists()
    assert not Path("/usr/twin-test").exists()


def test_host_keys_differ(twin: Twin) -> None:
    lines = (twin.home / "known_hosts").read_text().splitlines()
    assert len({line.split()[-1] for line in lines}) == len(lines) == 3


def test_this_machines_network_stays_as_it_is(make_lab: MakeLab) -> None:
    def network() -> str:
        commands = (
            "ip -o link",
            "ip -o addr",
            "ip -d -o route show table all",
            "ip rule",
            "ip netns",
            "iptables-save | grep -v '^#'",
            "sysctl -a -r '^net[.]' 2>/dev/null | grep -v count",
        )
        return subprocess.run(
            ["sh", "-c", "; ".join(commands)], capture_output=True, text=True, check=False
        ).stdout

    before = network()
    make_lab(tutorial()).twin.stop()
    assert network() == before


def test_twins_side_by_side(make_lab: MakeLab) -> None:
    one, other = make_lab(tutorial()), make_lab(tutorial())
    output(one.twin, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.7")
    assert other.tables() != one.tables()
    one.twin.stop()
    assert ssh(other, "worker-0", "hostname") == "worker-0\n"


def test_dual_stack(make_lab: MakeLab) -> None:
    machines = tuple(
        replace(
            machine,
            internal_ips=(*machine.internal_ips, ip_address(f"fd00:10:240::{n + 6}")),
            pod_cidrs=(*machine.pod_cidrs, ip_network(f"fd00:10:200:{n}::/64")),
        )
        for n, machine in enumerate(tutorial(2).machines)
    )
    twin = make_lab(
        replace(
            tutorial(2),
            pod_networks=(ip_network("10.200.0.0/16"), ip_network("fd00:10:200::/48")),
            machines=machines,
        )
    ).twin
    assert twin.pod_addresses("worker-1") == ("10.200.1.2", "fd00:10:200:1::2")
    for a, b, n in (("worker-0", 7, 1), ("worker-1", 6, 0)):
        output(twin, a, f"ip route add fd00:10:200:{n}::/64 via fd00:10:240::{b}")
    ping = ["ping", "-n", "-c1", "-W1", "fd00:10:200:1::2"]
    assert twin.run_in_pod("worker-0", ping).returncode == 0
    assert "tentative" not in output(twin, "worker-0", "ip -6 addr")


def test_a_public_ipv6_address(make_lab: MakeLab) -> None:
    six = replace(tutorial(1).machines[0], public_ip="2001:db8::10")
    lab = make_lab(replace(tutorial(1), machines=(six,)))
    assert ssh(lab, "worker-0", "hostname") == "worker-0\n"
    assert "default via 2001:db8::1" in output(lab.twin, "worker-0", "ip -6 route")


def test_what_hosts_toml_leaves_out(make_lab: MakeLab) -> None:
    """A name, no addresses, a controller, another user at another port."""
    lab = make_lab(
        replace(
            tutorial(1),
            machines=(
                Machine("worker-0", "worker", "worker-0.example.com"),
                Machine("controller-0", "controller", "203.0.113.20"),
            ),
            ssh=Ssh(user="ada", port=2222),
        )
    )
    assert lab.twin.invented == (
        "worker-0: internal IP 10.240.0.2; pod CIDR 10.200.0.0/24; "
        "public address 198.18.0.2 for worker-0.example.com",
        "controller-0: internal IP 10.240.0.3",
    )
    assert ssh(lab, "worker-0", "id -un; sudo -n id -un; pwd", "ada").split() == [
        *("ada", "root", "/home/ada"),
    ]
    assert ssh(lab, "controller-0", "id -un") == "root\n"
    assert "podCIDR" in output(lab.twin, "worker-0", "cat /var/lib/kubelet/kubelet-config.yaml")
    assert (
        output(lab.twin, "controller-0", "ls -A /var/lib/kubelet /etc/cni 2>/dev/null || :") == ""
    )
    seen = lab.twin.cluster(lab.cluster)
    assert [machine.public_ip for machine in seen.machines] == ["198.18.0.2", "203.0.113.20"]
    assert [machine.internal_ips for machine in seen.machines] == [(), ()]
    assert (seen.ssh.user, seen.ssh.port, seen.ssh.host_keys) == ("ada", 2222, "strict")
    assert not seen.ssh.operators_own


def test_a_worker_where_no_pod_has_run(make_lab: MakeLab) -> None:
    twin = make_lab(tutorial(2), pods=["worker-1"]).twin
    assert "cnio0" not in output(twin, "worker-0", "ip -o link")
    assert "cnio0" in output(twin, "worker-1", "ip -o link")
    with pytest.raises(Stop, match="no pod runs there"):
        twin.run_in_pod("worker-0", ["true"])


def test_why_it_cannot_be_built_is_one_line_and_nothing_stays(tmp_path: Path) -> None:
    broken = replace(tutorial(2), path=tmp_path / "hosts.toml", ssh=Ssh(port=99999))
    with pytest.raises(Stop, match=r"^worker-\d: sshd: .*port"):
        build(broken, keep=False)
    assert processes_of(tmp_path) == []


def test_a_file_system_of_its_own_for_usr(tmp_path: Path) -> None:
    script = f"""
import sys
from dataclasses import replace
from pathlib import Path
from tasks.twin.lifecycle import build
from tests.lab.conftest import tutorial
twin = build(replace(tutorial(1), path=Path({str(tmp_path)!r}, "hosts.toml")), keep=False)
sys.exit(twin.run("worker-0", ["ip", "route"]).returncode)
"""
    mount = 'mount --bind /usr /usr && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", script],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# What is left of a twin: nothing, whatever ends it.


def processes_of(directory: Path) -> list[int]:
    """The processes that were started for the hosts.toml in a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(directory / "hosts.toml").encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has just ended
    return found


def in_namespace(namespace: str) -> list[str]:
    """The processes in a namespace, which is named as /proc/PID/ns/* links to it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if str(path.readlink()) == namespace:
                found.append(path.parent.parent.name)
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def traces() -> tuple[str, str, list[str]]:
    """What a twin could leave on this machine besides processes."""
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=False).stdout
    mounts = Path("/proc/self/mountinfo").read_text()
    run = {str(path) for path in Path("/run").iterdir()} - {
        str(registry.DIRECTORY)
    }  # another test's
    return names, mounts, sorted(run)


def start_builder(directory: Path, workers: int = 3, keep: bool = False) -> subprocess.Popen[str]:
    """A process that builds a twin, prints the pid of its PID 1, and waits."""
    script = f"""
import time
from dataclasses import replace
from pathlib import Path
from tasks.twin.lifecycle import build
from tests.lab.conftest import tutorial
cluster = replace(tutorial({workers}), path=Path({str(directory)!r}, "hosts.toml"))
print(build(cluster, keep={keep}).pid, flush=True)
time.sleep(1000)
"""
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


def built(builder: subprocess.Popen[str]) -> int:
    assert builder.stdout is not None
    return int(builder.stdout.readline())


@pytest.mark.parametrize("victim", ["caller", "unshare", "PID 1"])
@pytest.mark.usefixtures("lab")  # so that it is skipped where there can be no twin
def test_kill_9_leaves_nothing(victim: str, tmp_path: Path) -> None:
    before = traces()
    with start_builder(tmp_path) as builder:
        pid = built(builder)
        namespace = str(Path(f"/proc/{pid}/ns/pid").readlink())
        assert len(in_namespace(namespace)) == 1 + 3 * 3
        parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[1])
        os.kill({"caller": builder.pid, "unshare": parent, "PID 1": pid}[victim], signal.SIGKILL)
        assert wait_until(lambda: not in_namespace(namespace), 5)
        builder.kill()
    assert wait_until(lambda: not processes_of(tmp_path), 5)
    assert traces() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("keep", [False, True])
def test_kill_9_while_building_leaves_nothing(keep: bool, tmp_path: Path) -> None:
    before = traces()
    with start_builder(tmp_path, workers=20, keep=keep) as builder:
        assert wait_until(lambda: len(processes_of(tmp_path)) > 4)
        builder.kill()
    assert wait_until(lambda: not processes_of(tmp_path), 5)
    assert traces() == before


@pytest.mark.usefixtures("lab")
def test_one_that_is_kept_outlives_its_builder_until_stopped(tmp_path: Path) -> None:
    before = traces()
    with start_builder(tmp_path, keep=True) as builder:
        pid = built(builder)
        builder.kill()
    found = find(tmp_path / "hosts.toml")
    assert found is not None
    assert found.pid == pid
    assert output(found, "worker-2", "hostname") == "worker-2\n"
    assert find(tmp_path / "other.toml") is None
    namespace = str(Path(f"/proc/{pid}/ns/pid").readlink())
    assert end(tmp_path / "hosts.toml")
    assert in_namespace(namespace) == []
    assert find(tmp_path / "hosts.toml") is None
    assert traces() == before


@pytest.mark.usefixtures("lab")
def test_one_that_is_kept_not_is_not_found(lab: Lab) -> None:
    assert find(lab.cluster.path) is None


def test_threads_started_after_enter_are_inside(lab: Lab) -> None:
    script = f"""
import os, threading
from tasks.twin.registry import hold
from tasks.twin.lifecycle import Twin
Twin(hold({lab.twin.pid}), None, ()).enter()
seen = []
thread = threading.Thread(target=lambda: seen.append(os.readlink("/proc/thread-self/ns/net")))
thread.start()
thread.join()
print(seen[0] == os.readlink("/proc/{lab.twin.pid}/ns/net"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_fifty_machines_that_all_know_each_other(make_lab: MakeLab) -> None:
    start = time.monotonic()
    lab = make_lab(tutorial(50))
    assert time.monotonic() - start < 30
    assert ssh(lab, "worker-49", "hostname") == "worker-49\n"
    others = " ".join(host.internal_ips[0] for host in lab.twin.spec.hosts)
    script = f"for ip in {others}; do ping -n -q -c1 -W5 $ip >/dev/null || echo $ip & done; wait"
    with ThreadPoolExecutor(8) as pool:
        names = [host.name for host in lab.twin.spec.hosts]
        assert "".join(pool.map(lambda name: output(lab.twin, name, script), names)) == ""


# The tasks that keep one up.


@pytest.fixture
def here(tmp_path: Path, lab: Lab) -> Iterator[Path]:  # `lab`: skipped without twins
    """A directory with a hosts.toml, whose twin is down when the test has ended."""
    (tmp_path / "hosts.toml").write_text(hosts_toml(replace(tutorial(), ssh=Ssh())))
    yield tmp_path
    end(tmp_path / "hosts.toml")


def fab(
    directory: Path, *arguments: str, before: tuple[str, ...] = (), text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *FAB, *arguments],
        cwd=directory,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_up_status_shell_down(here: Path) -> None:
    up = fab(here, "lab.up")
    assert (up.returncode, up.stderr) == (0, "")
    rows = [line.split() for line in up.stdout.splitlines()[2:]]
    assert [row[:-1] for row in rows] == [
        ["worker-0", "worker", "203.0.113.10", "10.240.0.6", "10.200.0.0/24", "10.200.0.2"],
        ["worker-1", "worker", "203.0.113.11", "10.240.0.7", "10.200.1.0/24", "10.200.1.2"],
        ["worker-2", "worker", "203.0.113.12", "10.240.0.8", "10.200.2.0/24", "10.200.2.2"],
    ]
    assert b"sshd" in Path(f"/proc/{rows[0][-1]}/cmdline").read_bytes()
    status = fab(here, "lab.status")
    assert (status.returncode, status.stdout, status.stderr) == (0, up.stdout, "")
    shell = fab(here, "lab.shell", "worker-1", text="hostname; exit 7")
    assert (shell.returncode, shell.stdout, shell.stderr) == (7, "worker-1\n", "")
    down = fab(here, "lab.down")
    assert (down.returncode, down.stdout) == (0, "")
    assert "is down" in down.stderr
    assert wait_until(lambda: not processes_of(here))
    assert [path.name for path in here.iterdir()] == ["hosts.toml"]
    assert not note_of(here / "hosts.toml").exists()


def note_of(inventory: Path) -> Path:
    return registry.DIRECTORY / hashlib.sha256(str(inventory.resolve()).encode()).hexdigest()


IMPOSTOR = """
import json, os, sys, time
from pathlib import Path
from tasks.twin.namespaces import mount
from tasks.twin.design import design
from tests.lab.conftest import tutorial
mount("tmpfs", Path("/run"), "tmpfs")
mount("proc", Path("/proc"), "proc")
home = Path("/run/twin")
home.mkdir()
(home / "spec").write_text(design(tutorial()).to_text())
(home / "processes").write_text(json.dumps([[1, None]] * 3))
print(flush=True)
time.sleep(1000)
"""


def test_one_that_calls_itself_the_twin_is_not_taken_for_it(here: Path) -> None:
    """Such as the first process of a container that is up to something."""
    words = ["-m", "tasks.twin.init", "kept", str((here / "hosts.toml").resolve())]
    with subprocess.Popen(
        [
            *("unshare", "--pid", "--mount", "--fork", "--kill-child"),
            *(sys.executable, "-c", IMPOSTOR, *words),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as impostor:
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == "\n"
        shell = fab(here, "lab.shell", "worker-0", text="touch /run/twin/taken\n")
        impostor.kill()
    expected = (1, "", f"no twin of hosts.toml is up: sudo {shlex.quote(FAB[0])} lab.up\n")
    assert (shell.returncode, shell.stdout, shell.stderr) == expected


def test_a_pid_that_is_another_process_by_now_is_not_taken_for_it(here: Path) -> None:
    assert fab(here, "lab.up").returncode == 0
    note = note_of(here / "hosts.toml")
    pid, started = map(int, note.read_text().split())
    note.write_text(f"{pid} {started - 1}\n")
    shell = fab(here, "lab.shell", "worker-0", text="hostname\n")
    assert (shell.returncode, shell.stdout) == (1, "")
    assert "no twin of hosts.toml is up" in shell.stderr
    note.write_text(f"{pid} {started}\n")
    assert fab(here, "lab.down").returncode == 0


def test_who_can_read_hosts_toml_cannot_hold_up_lab_up(here: Path) -> None:
    with (here / "hosts.toml").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert fab(here, "lab.up").returncode == 0


def test_up_waits_for_another_and_says_so(here: Path) -> None:
    waiting = "waiting for another lab.up or lab.down of hosts.toml\n"
    with registry.locked(here / "hosts.toml"):
        one, two = (
            subprocess.Popen([*FAB, "lab.up"], cwd=here, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        )
        for up in (one, two):
            assert up.stderr is not None
            assert up.stderr.readline() == waiting
        one.send_signal(signal.SIGINT)
        assert one.communicate(timeout=10)[1] == "interrupted: nothing was changed\n"
    assert two.communicate(timeout=60)[1] == ""
    assert (one.returncode, two.returncode) == (Status.INTERRUPTED, 0)


def test_up_twice_and_a_machine_that_is_not_there(here: Path) -> None:
    assert fab(here, "lab.up").returncode == 0
    again = fab(here, "lab.up")
    assert (again.returncode, again.stdout) == (1, "")
    assert "is up already" in again.stderr
    shell = fab(here, "lab.shell", "worker-9")
    assert (shell.returncode, shell.stdout) == (1, "")
    assert "no machine worker-9 in the twin; there are worker-0, worker-1" in shell.stderr


@pytest.mark.parametrize("command", ["lab.status", "lab.down", "lab.shell worker-0"])
def test_when_none_is_up(here: Path, command: str) -> None:
    done = fab(here, *command.split())
    expected = (1, "", f"no twin of hosts.toml is up: sudo {shlex.quote(FAB[0])} lab.up\n")
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_up_says_what_it_invented(here: Path) -> None:
    cut = [line for line in hosts_toml(tutorial(1)).splitlines() if "pod_cidr" not in line]
    (here / "hosts.toml").write_text("\n".join(cut))
    assert fab(here, "lab.up").stderr == "invented: worker-0: pod CIDR 10.200.0.0/24\n"


@pytest.mark.parametrize("command", ["lab.up", "lab.status", "lab.down", "lab.shell worker-0"])
def test_without_root(here: Path, command: str) -> None:
    done = fab(here, *command.split(), before=("unshare", "--user"))
    expected = (1, "", f"needs root: sudo {shlex.quote(FAB[0])} {command}\n")
    assert (done.returncode, done.stdout, done.stderr) == expected
