"""`fab lab.…`: start a twin of the cluster, show it, open a shell in it, and stop it."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context, Exit, task

from tasks.cli.command import Command
from tasks.common.errors import Stop

if TYPE_CHECKING:
    from tasks.twin.lifecycle import Twin


def _inventory(c: Context, inventory: str, command: str) -> Path:
    """The path of hosts.toml. Raises Stop unless the user is root, who alone may use its twin."""
    import os

    if os.geteuid() != 0:
        raise Stop(f"needs root: {_sudo(command)}")
    return Path(inventory or c.config.inventory)


def _sudo(command: str) -> str:
    """The command line that runs a task as root. It names the program by its path, because the PATH
    that sudo sets leaves out virtual environments.
    """
    return f"sudo {shlex.quote(sys.argv[0])} {command}"


def _find(path: Path) -> "Twin":
    from tasks.twin import lifecycle

    up = lifecycle.find(path)
    if up is None:
        raise Stop(_none(path))
    return up


def _none(path: Path) -> str:
    return f"no twin of {path} is up: {_sudo('lab.up')}"


def _table(twin: "Twin") -> str:
    from tabulate import tabulate

    sshd = twin.sshd_pids()
    rows = [
        [
            host.name,
            host.role,
            host.address,
            ", ".join(host.internal_ips),
            ", ".join(host.pod_cidrs) or "-",
            ", ".join(twin.pod_addresses(host.name)) or "-",
            sshd.get(host.name, "not running"),
        ]
        for host in twin.spec.hosts
    ]
    headers = ["machine", "role", "public IP", "internal IP", "pod CIDR", "pod", "sshd pid"]
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


@task(klass=Command)
def up(c: Context, inventory: str = "") -> None:
    """Build a twin of the cluster on this machine, and keep it up until lab.down."""
    from tasks.inventory.read import read
    from tasks.twin import lifecycle, registry

    path = _inventory(c, inventory, "lab.up")
    cluster = read(path, with_key=False)
    with registry.locked(path):  # else two lab.up at once would build two twins
        found = registry.find(path)
        if found is not None:
            raise Stop(f"a twin of {path} is up already (pid {found.pid}): {_sudo('lab.down')}")
        built = lifecycle.build(cluster, keep=True)
    for line in built.invented:
        print(f"invented: {line}", file=sys.stderr)
    print(_table(built))


@task(klass=Command)
def status(c: Context, inventory: str = "") -> None:
    """Show the machines of the twin that is up."""
    print(_table(_find(_inventory(c, inventory, "lab.status"))))


@task(klass=Command, help={"machine": "name of the machine in hosts.toml"})
def shell(c: Context, machine: str, inventory: str = "") -> None:
    """Open a root shell on a machine of the twin; it also takes commands from stdin."""
    twin = _find(_inventory(c, inventory, f"lab.shell {machine}"))
    names = [host.name for host in twin.spec.hosts]
    if machine not in names:
        raise Stop(f"no machine {machine} in the twin; there are {', '.join(names)}")
    code = twin.shell(machine)
    if code != 0:
        raise Exit(code=code)


@task(klass=Command)
def down(c: Context, inventory: str = "") -> None:
    """Stop the twin and remove all of it."""
    from tasks.twin import registry

    path = _inventory(c, inventory, "lab.down")
    if not registry.end(path):
        raise Stop(_none(path))
    print(f"the twin of {path} is down", file=sys.stderr)
