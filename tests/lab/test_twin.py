"""The twin is what hosts.toml says, alone, and leaves nothing."""

import subprocess

from .conftest import Lab


def ssh(lab: Lab, machine: str, command: str, user: str = "root") -> str:
    """Log in as OpenSSH does, with the twin's keys only."""
    home = lab.twin.home
    options = [
        f"IdentityFile={home / 'key'}",
        f"UserKnownHostsFile={home / 'known_hosts'}",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        f"Port={lab.twin.spec.port}",
    ]
    done = subprocess.run(
        [
            *(*lab.inside, "ssh", "-F", "none"),
            *(word for option in options for word in ("-o", option)),
            *(f"{user}@{lab.twin.spec.host(machine).address}", command),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
