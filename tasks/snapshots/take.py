"""Takes a snapshot of the machines of a cluster, in one trip to each."""

from datetime import datetime, timezone

from tasks.common.errors import Stop
from tasks.common.text import first
from tasks.ssh.errors import MachineError, said
from tasks.ssh.fleet import Fleet

from .model import Member, Snapshot, State
from .read import QUESTION, read_state

MOST_TOLD = 10


def take(fleet: Fleet, *, skip_unreachable: bool = False) -> Snapshot:
    """What the machines hold now. Nothing is changed.

    Raises Stop where a machine cannot be asked, because without it the others would not be as they
    are; with `skip_unreachable`, only where none can.
    """
    cluster = fleet.cluster
    states: dict[str, State] = {}
    troubles = []
    names = [machine.name for machine in cluster.machines]
    for name, answer in fleet.ask(dict.fromkeys(names, QUESTION)).items():
        try:
            states[name] = read_state(said(answer))
        except (MachineError, ValueError) as error:
            troubles.append(f"  {name}: {error}")
    if troubles and not (skip_unreachable and states):
        head = f"{len(troubles)} of {len(names)} machines cannot be asked; nothing was changed:"
        raise Stop("\n".join([head, *first(troubles, MOST_TOLD)]))
    return Snapshot(
        format="pod-routes snapshot",
        version=1,
        taken=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        pod_networks=tuple(map(str, cluster.pod_networks)),
        node_networks=tuple(map(str, cluster.node_networks)),
        persist=cluster.persist,
        machines=tuple(
            Member(
                name=m.name,
                role=m.role,
                public_ip=m.public_ip,
                internal_ips=tuple(map(str, m.internal_ips)),
                pod_cidrs=tuple(map(str, m.pod_cidrs)),
                state=states[m.name],
            )
            for m in cluster.machines
            if m.name in states
        ),
    )
