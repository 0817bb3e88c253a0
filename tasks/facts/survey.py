"""Asking the machines, and completing the cluster with what only they know."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.inventory.model import Cluster, Machine
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tasks.undo import recovery
from tasks.undo.run import new_run

from .complete import complete
from .gather import question
from .model import Facts
from .parse import read


@dataclass(frozen=True)
class Survey:
    """The cluster, complete, with the facts of each machine that answered."""

    cluster: Cluster
    facts: Mapping[str, Facts]
    skipped: Mapping[str, str]


def ask(
    fleet: Fleet,
    *,
    skip_unreachable: bool = False,
    limit: str = "",
    strangers: bool = False,
    leaving: str = "",
) -> tuple[dict[str, Facts], dict[str, str]]:
    """Ask the machines for their facts, one round trip each: the facts, and who gave none.

    With `limit`, only that machine, and those of which hosts.toml does not say enough. With
    `strangers`, next hops that are no machine's are pinged, and those that are `leaving`'s.
    Raises Stop where a machine cannot be asked, unless `skip_unreachable`.
    """
    cluster = fleet.cluster
    known = [ip for m in cluster.machines if m.name != leaving for ip in m.internal_ips]
    settle = recovery.settle(new_run(cluster.pod_networks, 0))
    script = question(cluster.pod_networks, known, strangers, settle)
    names = [m.name for m in cluster.machines if not limit or m.name == limit or _lacking(m)]
    facts: dict[str, Facts] = {}
    troubles: dict[str, str] = {}
    for name, answer in fleet.ask(dict.fromkeys(names, script)).items():
        try:
            if isinstance(answer, MachineError):
                raise answer
            found = read(answer)
            if found.missing:
                raise MachineError(
                    f"{', '.join(found.missing)} not found there:"
                    f" install {' '.join(found.packages_missing())}"
                )
            facts[name] = found
        except (MachineError, ValueError) as error:
            troubles[name] = str(error)
    if troubles and not (skip_unreachable and facts):
        raise cannot_ask(troubles, len(names))
    tell_skipped(troubles)
    return facts, troubles


def survey(
    fleet: Fleet,
    *,
    skip_unreachable: bool = False,
    limit: str = "",
    strangers: bool = False,
    leaving: str = "",
) -> Survey:
    """Ask the machines and complete the cluster; raises Stop where they and hosts.toml disagree."""
    facts, skipped = ask(
        fleet,
        skip_unreachable=skip_unreachable,
        limit=limit,
        strangers=strangers,
        leaving=leaving,
    )
    cluster, mistakes = complete(fleet.cluster, facts)
    if mistakes:
        head = f"{cluster.path} disagrees with its machines:"
        way_out = "`fab discover` compares all of it; --write puts what the machines say there"
        raise Stop("\n".join([head, *mistakes, way_out]))
    return Survey(cluster, facts, skipped)


def _lacking(machine: Machine) -> bool:
    return machine.role == "worker" and not (machine.pod_cidrs and machine.internal_ips)


def tell_skipped(troubles: Mapping[str, str]) -> None:
    """Say who is left out, on stderr."""
    for line in _told(troubles):
        print(f"skipped {line}", file=sys.stderr)


def cannot_ask(troubles: Mapping[str, str], asked: int) -> Stop:
    """The end of a task where machines cannot be asked."""
    lines = [f"  {line}" for line in _told(troubles)]
    head = f"{len(troubles)} of {asked} machines cannot be asked; nothing was changed:"
    way_out = "  --skip-unreachable leaves such machines out"
    return Stop("\n".join([head, *lines, *([way_out] if len(troubles) < asked else [])]))


def _told(troubles: Mapping[str, str]) -> list[str]:
    """A line a trouble, with all that have it: a jump host that is down is one for many."""
    names: dict[str, list[str]] = {}
    for name, trouble in troubles.items():
        names.setdefault(trouble, []).append(name)
    return [f"{listed(those)}: {trouble}" for trouble, those in names.items()]
