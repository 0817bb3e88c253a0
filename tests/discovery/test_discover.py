"""`fab discover` as an operator runs it, with programs that answer as providers do."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.inventory.read import read
from tests import api, forked
from tests.paths import FAB

HOSTS = """\
# Ours.
[cluster]
pod_networks = ["10.200.0.0/16"]

[[workers]]
name = "worker-1"            # the first
public_ip = "203.0.113.11"
internal_ip = "10.240.0.7"
pod_cidr = "10.200.1.0/24"

[[workers]]
name = "worker-2"
public_ip = "203.0.113.12"
"""
ACCOUNT = [
    api.instance("worker-1", "203.0.113.11", "10.240.0.7", tags=["worker"]),
    api.instance("worker-10", "203.0.113.20", "10.240.0.16", tags=["worker"]),
    api.instance("database", "203.0.113.30", "10.240.0.30"),
]


class Operator:
    """A directory to work in, with programs of its own in front of the PATH."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory
        self.hosts = directory / "work" / "hosts.toml"
        self.hosts.parent.mkdir()
        self.environment = {
            "HOME": str(directory),
            "PATH": f"{directory}:{os.environ['PATH']}",
            "VULTR_API_KEY": "fa1rly-secret",
        }

    def discover(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it without a terminal; neither output may hold a secret or a traceback."""
        where = self.hosts.parent
        done = forked.fab("discover", *arguments, cwd=where, env=self.environment)
        assert "fa1rly-secret" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
        return done

    def vultr(self, *instances: dict[str, Any]) -> None:
        """What the account holds."""
        api.stand_in(self.dir, "vultr-cli", api.vultr_pages(*([one] for one in instances)))

    def doctl(self, *droplets: dict[str, Any]) -> None:
        """What the other account holds."""
        api.stand_in(self.dir, "doctl", f"print({json.dumps(droplets)!r})")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    operator = Operator(tmp_path)
    operator.hosts.write_text(HOSTS)
    operator.vultr(*ACCOUNT)
    return operator


def rows(output: str) -> list[list[str]]:
    """The cells of the table, its two heading lines left out."""
    return [line.split() for line in output.split("\n\n", maxsplit=1)[0].splitlines()[2:]]


def test_it_shows_what_it_found_and_changes_nothing(operator: Operator) -> None:
    done = operator.discover("--from", "vultr")
    assert done.returncode == 0
    assert rows(done.stdout) == [
        ["worker-1", "public_ip", "203.0.113.11", "vultr", "same"],
        ["worker-1", "internal_ip", "10.240.0.7", "vultr", "same"],
    ]
    assert "worker-2: in hosts.toml, but not in vultr: kept; --prune removes it" in done.stdout
    assert "Vultr: routes via a VPC address work" in done.stdout
    assert "vultr has 2 other machines; --match" in done.stderr
    assert operator.hosts.read_text() == HOSTS


def test_it_writes_what_was_chosen_and_then_has_nothing_to_write(operator: Operator) -> None:
    done = operator.discover("--from", "vultr", "--match", "worker-*", "--write")
    assert done.returncode == 0
    assert done.stdout.endswith("\nwritten: hosts.toml\n")
    text = operator.hosts.read_text()
    assert text == HOSTS + (
        '\n[[workers]]\nname = "worker-10"\npublic_ip = "203.0.113.20"\n'
        'internal_ip = "10.240.0.16"\n'
    )
    again = operator.discover("--from", "vultr", "--tag", "worker", "--write")
    assert again.returncode == 0
    assert again.stderr == "nothing to write: hosts.toml says all this\n"
    assert operator.hosts.read_text() == text
    assert [p.name for p in operator.hosts.parent.iterdir()] == ["hosts.toml"]


def test_no_name_that_a_provider_gives_runs_in_a_proxy_command(operator: Operator) -> None:
    config = operator.dir / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text("Host *\n  ProxyCommand false %h\n")
    operator.vultr(*ACCOUNT, api.instance("w$(echo>owned)", "", ""))
    done = operator.discover("--from", "vultr,ssh", "--match", "w*", "--write")
    assert [p.name for p in operator.hosts.parent.iterdir()] == ["hosts.toml"]
    assert "owned" not in done.stdout + done.stderr  # three others cannot be asked either
    done = operator.discover("--from", "vultr", "--match", "w*", "--write")
    assert "w$(echo>owned): hosts.toml can hold no such name" in done.stdout
    assert done.returncode == 0
    assert "owned" not in operator.hosts.read_text()


def test_prune_removes_who_disappeared_when_it_is_told_to_write(operator: Operator) -> None:
    shown = operator.discover("--from", "vultr", "--prune")
    assert "worker-2: in hosts.toml, but not in vultr: to be removed\n" in shown.stdout
    assert operator.hosts.read_text() == HOSTS
    done = operator.discover("--from", "vultr", "--prune", "--write")
    assert done.returncode == 0
    assert done.stdout == shown.stdout + "\nwritten: hosts.toml\n"
    assert [machine.name for machine in read(operator.hosts).machines] == ["worker-1"]


def test_an_account_that_lists_nobody_does_not_empty_the_file(operator: Operator) -> None:
    operator.vultr()
    api.stand_in(operator.dir, "vultr-cli", 'print(\'{"instances": [], "meta": null}\')')
    done = operator.discover("--from", "vultr", "--prune", "--write")
    assert done.returncode == 1
    assert "hosts.toml is not written; the result would have mistakes:" in done.stderr
    assert operator.hosts.read_text() == HOSTS


def test_a_new_file_from_nothing(operator: Operator) -> None:
    operator.hosts.unlink()
    which = operator.discover("--from", "vultr", "--write")
    assert which.returncode == 1
    assert "which machines? --match 'worker-*'" in which.stderr
    assert "worker-1, worker-10, database" in which.stderr
    chosen = ("--from", "vultr", "--match", "worker-*", "--write")
    unknown = operator.discover(*chosen)
    assert unknown.returncode == 1
    assert "--pod-networks 10.200.0.0/16" in unknown.stderr
    assert not operator.hosts.exists()
    assert operator.discover(*chosen, "--pod-networks", "10.200.0.0/16").returncode == 0
    machines = read(operator.hosts).machines
    assert [(m.name, m.role, m.public_ip) for m in machines] == [
        ("worker-1", "worker", "203.0.113.11"),
        ("worker-10", "worker", "203.0.113.20"),
    ]


@pytest.mark.system
def test_a_new_file_from_kubectl_knows_its_pod_networks(operator: Operator) -> None:
    operator.hosts.unlink()
    nodes = [
        api.node(f"node.{n}", [f"10.244.{n}.0/24", f"fd00:244:0:{n}::/64"], InternalIP=[a, b])
        for n, (a, b) in enumerate([("10.0.0.4", "fd00::4"), ("10.0.0.5", "fd00::5")], 1)
    ]
    with api.served(api.kubernetes([*nodes, api.node("late", [], InternalIP=["10.0.0.6"])])) as url:
        operator.environment["KUBECONFIG"] = str(api.kubeconfig(operator.dir, here=url))
        done = operator.discover("--from", "kubectl", "--write")
        again = operator.discover("--from", "kubectl")
    assert done.returncode == 0
    assert "late: has no podCIDR yet: left out" in done.stdout
    assert done.stderr == (
        "hosts.toml is new; its pod_networks are 10.244.0.0/22, fd00:244::/62, by what was found:"
        " --pod-networks says others\n"
    )
    cluster = read(operator.hosts)
    assert list(map(str, cluster.pod_networks)) == ["10.244.0.0/22", "fd00:244::/62"]
    assert [m.name for m in cluster.machines] == ["node.1", "node.2"]
    assert list(map(str, cluster.machines[1].internal_ips)) == ["10.0.0.5", "fd00::5"]
    assert "nothing to write" in again.stderr


@pytest.mark.system
def test_nodes_that_have_no_pod_cidr_yet_make_no_file(operator: Operator) -> None:
    operator.hosts.unlink()
    with api.served(api.kubernetes([api.node("late", [], InternalIP=["10.0.0.6"])])) as url:
        operator.environment["KUBECONFIG"] = str(api.kubeconfig(operator.dir, here=url))
        done = operator.discover("--from", "kubectl", "--write")
    assert (done.returncode, done.stderr) == (0, "nothing to write\n")
    assert done.stdout == "late: has no podCIDR yet: left out\n\n0 machines: 0 values the same\n"
    assert not operator.hosts.exists()


def test_a_new_file_from_machines_txt(operator: Operator) -> None:
    operator.hosts.unlink()
    (operator.hosts.parent / "machines.txt").write_text(
        "10.240.0.4 server.kubernetes.local server\n"
        "10.240.0.6 node-0.kubernetes.local node-0 10.200.0.0/24\n"
        "10.240.0.7 node-1.kubernetes.local node-1 10.200.1.0/24\n"
    )
    assert operator.discover("--from", "machines", "--write").returncode == 0
    machines = read(operator.hosts).machines
    assert [(m.name, m.role) for m in machines] == [
        ("node-0", "worker"),
        ("node-1", "worker"),
        ("server", "controller"),
    ]


def test_what_a_new_machine_would_be_is_shown(operator: Operator) -> None:
    (operator.hosts.parent / "machines.txt").write_text(
        "10.240.0.4 server.kubernetes.local server\n"
        "10.240.0.6 node-0.kubernetes.local node-0 10.200.0.0/24\n"
    )
    done = operator.discover("--from", "machines")
    states = {(row[0], row[1]): " ".join(row[4:]) for row in rows(done.stdout)}
    assert states == {
        ("node-0", "public_ip"): "new worker",
        ("node-0", "internal_ip"): "new",
        ("node-0", "pod_cidr"): "new",
        ("server", "public_ip"): "new controller",
        ("server", "internal_ip"): "new",
    }


def test_a_pattern_or_tag_that_no_machine_fits_is_said(operator: Operator) -> None:
    done = operator.discover("--from", "vultr", "--match", "worker-10,wroker-*", "--tag", "worker")
    assert done.returncode == 0
    assert done.stderr.startswith("--match wroker-*: no source lists such a machine\n")
    assert "--tag" not in done.stderr
    done = operator.discover("--from", "vultr", "--tag", "wroker")
    assert done.stderr.startswith("--tag wroker: no source lists such a machine\n")


def test_two_instances_that_share_a_label(operator: Operator) -> None:
    operator.vultr(*ACCOUNT, api.instance("worker-1", "203.0.113.66", ""))
    done = operator.discover("--from", "vultr", "--write")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "vultr: 2 machines are named worker-1 (203.0.113.11, 203.0.113.66): rename all but one\n"
    )


def test_a_name_that_hosts_toml_cannot_have(operator: Operator) -> None:
    strange = api.instance("worker 1 \x1b[31m[old]", "203.0.113.66", "10.240.0.66")
    operator.vultr(*ACCOUNT, strange)
    done = operator.discover("--from", "vultr", "--match", "worker*", "--write")
    assert done.returncode == 0  # it keeps no other from being written
    assert "worker 1 ?[31m[old]: hosts.toml can hold no such name" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert [m.name for m in read(operator.hosts).machines] == ["worker-1", "worker-2", "worker-10"]


@pytest.fixture
def contradicted(operator: Operator) -> Operator:
    """Two accounts that both know worker-2, and disagree."""
    operator.vultr(api.instance("worker-2", "203.0.113.12", "10.240.0.8"))
    operator.doctl(
        api.droplet("worker-2", v4_public="203.0.113.12", v4_private="10.240.0.88"),
    )
    return operator


def test_a_contradiction_is_shown_and_nobody_is_there_to_ask(contradicted: Operator) -> None:
    moved = api.instance("worker-1", "203.0.113.99", "")
    contradicted.vultr(api.instance("worker-2", "203.0.113.12", "10.240.0.8"), moved)
    shown = contradicted.discover("--from", "vultr,doctl")
    assert shown.returncode == 0
    assert ["worker-2", "internal_ip", "10.240.0.8", "vultr", "choose"] in rows(shown.stdout)
    assert ["or", "10.240.0.88", "doctl"] in rows(shown.stdout)
    line = 'worker-2, [[workers]]: internal_ip = "10.240.0.8" or "10.240.0.88"'
    assert line in shown.stderr
    assert "--write" not in shown.stderr  # which would write nothing
    done = contradicted.discover("--from", "vultr,doctl", "--write")
    assert done.returncode == 1
    assert line in done.stderr
    assert done.stderr.endswith("nothing is written\n")
    assert contradicted.hosts.read_text() == HOSTS


def test_a_contradiction_that_hosts_toml_has_decided_is_shown_all_the_same(
    contradicted: Operator,
) -> None:
    contradicted.hosts.write_text(HOSTS + 'internal_ip = "10.240.0.8"\n')
    done = contradicted.discover("--from", "vultr,doctl", "--write")
    assert ["worker-2", "internal_ip", "10.240.0.8", "vultr", "same"] in rows(done.stdout)
    assert ["but", "10.240.0.88", "doctl"] in rows(done.stdout)
    assert done.stdout.endswith("2 machines: 2 values the same, 1 contradicted\n")
    assert done.returncode == 0


@pytest.mark.parametrize(("answer", "status"), [("2", 0), ("", 1), ("7", 1)])
def test_a_contradiction_is_asked_about_in_a_terminal(
    contradicted: Operator, answer: str, status: int
) -> None:
    leader, follower = pty.openpty()
    os.write(leader, f"{answer}\n".encode())
    done = subprocess.run(
        [*FAB, "discover", "--from", "vultr,doctl", "--write"],
        cwd=contradicted.hosts.parent,
        env=contradicted.environment,
        stdin=follower,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(leader)
    os.close(follower)
    assert done.returncode == status, done.stderr
    assert "worker-2: which internal_ip?" in done.stderr
    assert "  2  10.240.0.88  (doctl)" in done.stderr
    written = 'internal_ip = "10.240.0.88"' in contradicted.hosts.read_text()
    assert written == (status == 0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--from", "vulter"), "--from vulter: no such source; did you mean vultr?"),
        (("--from", "doctl"), "doctl is not on this machine's PATH: see https://"),
        (("--from", "machines"), "machines.txt: cannot be read: No such file or directory"),
        (("--from", "vultr", "--pod-networks", "10.0.0.0/8"), "--pod-networks is for a new file"),
        (("--match", "worker-*"), "--match says nothing to ssh; it is for --from aws or "),
        (("--prune",), "--prune says nothing to ssh; it is for --from aws or "),
        (("--context", "prod"), "--context says nothing to ssh; it is for --from kubectl\n"),
        (
            ("--from", "vultr", "--file", "x"),
            "--file says nothing to vultr; it is for --from machines\n",
        ),
    ],
)
def test_what_cannot_be_done_is_one_plain_line(
    operator: Operator, arguments: tuple[str, ...], line: str
) -> None:
    done = operator.discover(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_file_with_mistakes_is_not_refreshed(operator: Operator) -> None:
    operator.hosts.write_text(HOSTS.replace("pod_networks", "pod_network"))
    done = operator.discover("--from", "vultr", "--write")
    assert done.returncode == 1
    assert 'did you mean "pod_networks"?' in done.stderr


def test_a_file_that_cannot_be_read(operator: Operator) -> None:
    operator.hosts.unlink()
    operator.hosts.mkdir()
    done = operator.discover("--from", "vultr")
    assert (done.returncode, done.stderr) == (1, "hosts.toml: cannot be read: Is a directory\n")


def test_without_a_file_ssh_has_nobody_to_ask(operator: Operator) -> None:
    operator.hosts.unlink()
    done = operator.discover()
    assert done.returncode == 1
    assert "hosts.toml: there is none yet; --from another source" in done.stderr


def test_a_large_account_shows_only_what_differs(operator: Operator) -> None:
    operator.hosts.unlink()
    operator.vultr(*(api.instance(f"w-{n}", f"203.0.113.{n}", f"10.240.0.{n}") for n in range(3)))
    many = [
        api.instance(f"w-{n}", f"198.51.{n // 200}.{n % 200 + 1}", f"10.9.{n // 200}.{n % 200 + 1}")
        for n in range(600)
    ]
    api.stand_in(operator.dir, "vultr-cli", api.vultr_pages(many[:500], many[500:]))
    chosen = ("--from", "vultr", "--match", "w-*")
    assert operator.discover(*chosen, "--write", "--pod-networks", "10.200.0.0/16").returncode == 0
    assert operator.discover(*chosen).stdout.endswith("600 machines: 1200 values the same\n")
