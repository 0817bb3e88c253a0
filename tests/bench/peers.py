"""What others do for the same routes: each pushes them to all machines and checks nothing.

Every peer gets the same lines for `ip -batch` (the tutorial its own commands), the same key, no
host key checking, 32 machines at a time where it can, and no facts to gather.
"""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.conftest import KEY, Lab

AT_ONCE = 32
BIN = Path(os.environ.get("BENCH_BIN", str(Path(sys.executable).parent)))  # the peers' programs
SSH_FLAGS = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q")


TUTORIAL = "the tutorial's ssh, one by one"
NAMES = (TUTORIAL, "parallel-ssh", "pyinfra", "Ansible")


@dataclass(frozen=True)
class Peer:
    """A program that pushes routes, and the command line that makes it do so in a lab."""

    name: str
    argv: Sequence[str]


def peers(lab: Lab) -> list[Peer]:
    """The peers, their files written into the lab's directory."""
    return [_tutorial(lab), _parallel_ssh(lab), _pyinfra(lab), _ansible(lab)]


def batch(lab: Lab) -> dict[str, list[str]]:
    """By machine's address, what `ip -batch` is to be told there."""
    workers = lab.cluster.workers
    return {
        one.public_ip: [
            f"route add {other.pod_cidrs[0]} via {other.internal_ips[0]}"
            for other in workers
            if other is not one
        ]
        for one in workers
    }


def _piped(lines: Sequence[str]) -> str:
    """The lines as one command for a remote shell."""
    return f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} | ip -batch -"


def _write(lab: Lab, name: str, text: str) -> str:
    path = lab.dir / name
    path.write_text(text)
    return str(path)


def _tutorial(lab: Lab) -> Peer:
    """The page's own way: one ssh after the other, a command a route."""
    lines = ["set -e"]
    for address, routes in batch(lab).items():
        command = ";".join(f"ip {line}" for line in routes)
        flags = " ".join(("-i", KEY, *SSH_FLAGS))
        lines.append(f"ssh {flags} root@{address} -C {shlex.quote(command)} </dev/null")
    return Peer(
        "the tutorial's ssh, one by one", ["bash", _write(lab, "push.sh", "\n".join(lines))]
    )


def _parallel_ssh(lab: Lab) -> Peer:
    commands = {address: _piped(lines) for address, lines in batch(lab).items()}
    text = f"""from pssh.clients import ParallelSSHClient
commands = {commands!r}
client = ParallelSSHClient(list(commands), user="root", pkey={KEY!r}, pool_size={AT_ONCE})
outputs = client.run_command("%s", host_args=[(c,) for c in commands.values()], use_pty=False)
client.join(outputs)
assert all(o.exit_code == 0 for o in outputs), [list(o.stderr) for o in outputs]
"""
    return Peer("parallel-ssh", [str(BIN / "python"), _write(lab, "push_pssh.py", text)])


def _pyinfra(lab: Lab) -> Peer:
    hosts = [(address, {"batch": _piped(lines)}) for address, lines in batch(lab).items()]
    data = {"ssh_user": "root", "ssh_key": KEY, "ssh_strict_host_key_checking": "off"}
    _write(lab, "inventory.py", f"hosts = ({hosts!r}, {data!r})\n")
    deploy = """from pyinfra import host
from pyinfra.operations import server

server.shell(commands=[host.data.batch])
"""
    _write(lab, "deploy.py", deploy)
    flags = ["--parallel", str(AT_ONCE), "-y"]
    return Peer("pyinfra", [str(BIN / "pyinfra"), *flags, "inventory.py", "deploy.py"])


def _ansible(lab: Lab) -> Peer:
    hosts = {address: {"batch": _piped(lines)} for address, lines in batch(lab).items()}
    everyone = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": KEY,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    _write(lab, "inventory.json", json.dumps({"all": {"hosts": hosts, "vars": everyone}}))
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.shell": {"cmd": "{{ batch }}"}}],
    }
    _write(lab, "push.json", json.dumps([play]))
    settings = f"""[defaults]
forks = {AT_ONCE}
host_key_checking = False
[ssh_connection]
pipelining = True
retries = 2
ssh_args = -o ControlMaster=auto -o ControlPersist=1s -o UserKnownHostsFile=/dev/null
"""
    _write(lab, "ansible.cfg", settings)
    return Peer("Ansible", [str(BIN / "ansible-playbook"), "-i", "inventory.json", "push.json"])
