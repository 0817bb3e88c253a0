"""What a run with BGP needs besides its plan: the password of the sessions, and BIRD installed."""

import sys
from collections.abc import Mapping
from dataclasses import replace

from tasks.bgp.install import INSTALLED, LIMIT, install_script
from tasks.bgp.password import new_password, read_password, write_password
from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.common.values import shown
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.planning.model import Plan
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError, said
from tasks.ssh.fleet import Fleet


def with_password(fleet: Fleet, cluster: Cluster, facts: Mapping[str, Facts]) -> Cluster:
    """The cluster with what its password file holds; a new password where there is no file yet.

    The password is hidden in the transcripts of the fleet.

    Raises Stop where the file cannot be used, and where it is missing although machines have a
    password already: a new one would end the sessions with machines that are not reached.
    """
    bgp = cluster.bgp
    if bgp is None or bgp.password_file is None:
        return cluster
    password = read_password(bgp.password_file)
    having = [name for name, found in facts.items() if found.bird.password]
    if having and not password:
        raise Stop(
            f"password_file: {bgp.password_file} is missing, and {listed(having)} has a password"
            " already: copy the file from where the last run was made, or write a new password"
            " into it to change it on all machines"
        )
    password = password or new_password()
    fleet.hide(password)
    return replace(cluster, bgp=replace(bgp, password=password))


def keep_password(cluster: Cluster) -> None:
    """Write a new password into its file. Raises Stop where that fails."""
    bgp = cluster.bgp
    if bgp and bgp.password_file and bgp.password and not read_password(bgp.password_file):
        write_password(bgp.password_file, bgp.password)
        print(f"made {bgp.password_file}: keep it, every run needs it", file=sys.stderr)


def install_bird(fleet: Fleet, plan: Plan) -> None:
    """Install BIRD where the plan says so. Raises Stop where that fails; no route is changed."""
    names = [machine.name for machine in plan.machines if machine.install]
    scripts = dict.fromkeys(names, install_script())
    troubles = {}
    for name, answer in fleet.ask(scripts, "installing BIRD", LIMIT).items():
        if why := _not_installed(answer):
            troubles[name] = why
    done = [name for name in names if name not in troubles]
    if done:
        print(f"installed BIRD on {listed(done)}; its own service is masked", file=sys.stderr)
    if troubles:
        head = "BIRD cannot be installed, and no route was changed anywhere:"
        raise Stop("\n".join([head, *(f"  {name}: {why}" for name, why in troubles.items())]))


def _not_installed(answer: str | MachineError) -> str:
    """Why BIRD is not installed, from the answer of a machine; empty if it is."""
    try:
        found = sections(said(answer))
    except (MachineError, ValueError) as error:
        return str(error)
    words = listed(line for lines in found.values() for line in lines)
    return "" if INSTALLED in found else shown(words) or "it does not say why"
