"""Asks the machines for their facts, and completes the cluster with them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.common.errors import Stop
from tasks.common.script import Script
from tasks.common.text import listed
from tasks.inventory.model import Cluster, Machine
from tasks.networks.state import NetworkState
from tasks.ssh.errors import MachineError, said
from tasks.ssh.fleet import Fleet
from tasks.undo import recovery
from tasks.undo.run import new_run

from .complete import complete
from .gather import question
from .model import Facts
from .parse import read
from .pod_bridge import known


@dataclass(frozen=True)
class Survey:
    """The completed cluster, the facts by machine, and why other machines were skipped.

    `network` is the provider's network, if hosts.toml names one and it was read.
    """

    cluster: Cluster
    facts: Mapping[str, Facts]
    skipped: Mapping[str, str]
    network: NetworkState | None = None


def facts_script(
    cluster: Cluster, *, ping_unknown: bool = False, leaving: str = "", pings: bool = False
) -> Script:
    """The script that asks a machine for its facts, and first reverts an overdue change there.

    `ping_unknown`, `leaving`, `pings`: as for `ask`.
    """
    known = [ip for m in cluster.machines if m.name != leaving for ip in m.internal_ips]
    settle = recovery.settle(new_run(cluster.pod_networks, 0))
    port = cluster.bgp.port if cluster.bgp else None
    return question(cluster.pod_networks, known, ping_unknown, settle, pings=pings, bgp_port=port)


def read_facts(answer: str, cluster: Cluster, name: str) -> Facts:
    """The facts in the answer of the machine `name` to `facts_script`.

    Raises MachineError if the answer cannot be read, or if programs are missing on the machine.
    """
    try:
        found = read(answer, known(cluster, name))
    except ValueError as error:
        raise MachineError(str(error)) from error
    if found.missing:
        raise MachineError(
            f"{', '.join(found.missing)} not found there:"
            f" install {' '.join(found.packages_missing())}"
        )
    return found


def ask(
    fleet: Fleet,
    *,
    skip_unreachable: bool = False,
    limit: str = "",
    ping_unknown: bool = False,
    leaving: str = "",
    pings: bool = False,
) -> tuple[dict[str, Facts], dict[str, str]]:
    """Ask the machines for their facts, in one round trip each.

    Returns the facts by machine, and for the other machines why there are none.
    With `limit`, only that machine is asked, and those that hosts.toml describes incompletely.
    With `ping_unknown`, next hops that belong to no machine, or to the one `leaving`, are pinged.
    With `pings`, a machine that cannot ping as is needed cannot be asked.
    Raises Stop where a machine cannot be asked, unless `skip_unreachable`, and where none can.
    """
    script = facts_script(fleet.cluster, ping_unknown=ping_unknown, leaving=leaving, pings=pings)
    names = [m.name for m in fleet.cluster.machines if not limit or m.name == limit or _lacking(m)]
    facts: dict[str, Facts] = {}
    troubles: dict[str, str] = {}
    for name, answer in fleet.ask(dict.fromkeys(names, script)).items():
        try:
            facts[name] = read_facts(said(answer), fleet.cluster, name)
        except MachineError as error:
            troubles[name] = str(error)
    if troubles and not (skip_unreachable and facts):
        raise cannot_ask(troubles, len(names))
    tell_skipped(troubles)
    return with_operator(facts), troubles


def survey(
    fleet: Fleet,
    *,
    skip_unreachable: bool = False,
    limit: str = "",
    ping_unknown: bool = False,
    leaving: str = "",
    pings: bool = False,
) -> Survey:
    """Ask the machines as `ask` does, and complete the cluster.

    Raises Stop also where the machines and hosts.toml disagree.
    """
    facts, skipped = ask(
        fleet,
        skip_unreachable=skip_unreachable,
        limit=limit,
        ping_unknown=ping_unknown,
        leaving=leaving,
        pings=pings,
    )
    cluster, mistakes = complete(fleet.cluster, facts)
    if mistakes:
        head = f"{cluster.path} disagrees with its machines:"
        way_out = "`fab discover` compares them; `fab discover --write` corrects the file"
        raise Stop("\n".join([head, *mistakes, way_out]))
    return Survey(cluster, facts, skipped)


def with_operator(facts: Mapping[str, Facts]) -> dict[str, Facts]:
    """The facts, with the operator's address also where sshd does not know it.

    sshd says UNKNOWN where it has no socket of its own (`sshd -i` behind a program). The operator
    is then taken to be where the other machines see them, if all see the same address.
    """
    seen = {found.client for found in facts.values() if found.client}
    client = seen.pop() if len(seen) == 1 else None
    return {name: replace(found, client=found.client or client) for name, found in facts.items()}


def _lacking(machine: Machine) -> bool:
    """Whether hosts.toml leaves out something that only the machine knows."""
    return machine.role == "worker" and not (machine.pod_cidrs and machine.internal_ips)


def tell_skipped(troubles: Mapping[str, str]) -> None:
    """Print on stderr which machines are left out, and why."""
    for line in _told(troubles):
        print(f"skipped {line}", file=sys.stderr)


def cannot_ask(troubles: Mapping[str, str], asked: int) -> Stop:
    """The error that ends a task where machines cannot be asked. `asked`: how many were."""
    lines = [f"  {line}" for line in _told(troubles)]
    head = f"{len(troubles)} of {asked} machines cannot be asked; nothing was changed:"
    way_out = "  --skip-unreachable leaves such machines out"
    return Stop("\n".join([head, *lines, *([way_out] if len(troubles) < asked else [])]))


def _told(troubles: Mapping[str, str]) -> list[str]:
    """A line for each trouble, with all machines that have it: a jump host may serve many."""
    names: dict[str, list[str]] = {}
    for name, trouble in troubles.items():
        names.setdefault(trouble, []).append(name)
    return [f"{listed(those)}: {trouble}" for trouble, those in names.items()]
