"""Real pods: those that host-local's store lists, pinged, and pinging.

A probe shows what routes do; pods show the rest: whether their bridge is there, and with which
source address they arrive elsewhere. That is counted in the probes' own namespaces.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tasks.common import values
from tasks.common.script import Script
from tasks.common.values import Address
from tasks.facts.survey import Survey
from tasks.inventory.model import Machine
from tasks.ssh.fleet import Fleet

from .mesh import heard
from .ping import SENT, Source, counted_sources
from .probe import READY, Probe, probe_script, probes

MOST = 3  # pods of a worker that are asked
SET = "== set"  # what counts arrivals is there


@dataclass(frozen=True)
class RealPod:
    """One pod that a worker's store lists."""

    worker: str
    address: Address
    here: bool  # whether it answers its own machine: else it is gone, or closed to ICMP
    asked: tuple[str, ...]  # the workers whose probes pinged it
    answered: tuple[str, ...]  # those of them that it answered
    arrives: str = ""  # source address others see: "itself", "masqueraded" (SNAT), "" unknown

    @property
    def ok(self) -> bool:
        """Whether every worker that asked it was answered."""
        return not self.here or self.asked == self.answered


def real_pods(survey: Survey) -> dict[str, list[Address]]:
    """Some pods of each worker, by the store of its host-local plugin."""
    return {
        worker.name: [
            address
            for address in sorted(survey.facts[worker.name].reserved, key=int)
            if values.within(values.host(address), worker.pod_cidrs)
        ][:MOST]
        for worker in survey.cluster.workers
        if worker.name in survey.facts
    }


def ping_real_pods(
    fleet: Fleet, survey: Survey, asked: Collection[tuple[str, str]] | None
) -> list[RealPod]:
    """Have every probe ping the other workers' pods, and every worker's first pod the probes.

    `asked`: from, to: None for all. A machine that gives no report asks nobody.
    """
    pods = real_pods(survey)
    machines = {m.name: m for m in survey.cluster.workers if m.name in pods}
    own = {name: probes(machine, survey.facts[name]) for name, machine in machines.items()}
    ways = {
        name: [o for o in machines if o != name and (asked is None or (name, o) in asked)]
        for name in machines
    }
    scripts = {name: _script(survey, own, pods, name, ways[name]) for name in machines}
    steps = [(SET, machines), (SENT, machines)]
    answers = fleet.in_step(scripts, READY, steps, "pinging pods")
    return read_real_pods(machines, pods, ways, heard(answers))


def _script(
    survey: Survey,
    own: Mapping[str, Sequence[Probe]],
    pods: Mapping[str, Sequence[Address]],
    name: str,
    to: Sequence[str],
) -> Script:
    """The script of one worker."""
    sources = {probe.address.version: probe.address for probe in own[name]}
    first = {address.version: address for address in reversed(pods[name])}
    return probe_script(
        own[name],
        survey.facts[name],
        "connectivity/real_pods.sh",
        source4=sources.get(4, ""),
        source6=sources.get(6, ""),
        senders=[
            network
            for machine in survey.cluster.workers
            if machine.name in own and machine.name != name
            for network in (*machine.pod_cidrs, *map(values.host, machine.internal_ips))
        ],
        others=[ip for other in to for ip in pods[other] if ip.version in sources],
        pods=pods[name],
        leaving=[
            f"{probe.address.version} {first[probe.address.version]} {probe.address}"
            for other in to
            for probe in own[other]
            if probe.address.version in first
        ],
    )


def read_real_pods(
    machines: Mapping[str, Machine],
    pods: Mapping[str, Sequence[Address]],
    ways: Mapping[str, Sequence[str]],
    said: Mapping[str, Mapping[tuple[str, str], list[str]]],
) -> list[RealPod]:
    """Put together what the scripts printed, of the workers that did."""
    arrived = {name: _counted(answer.get(("arrived", ""), [])) for name, answer in said.items()}
    found = []
    for worker, addresses in pods.items():
        for place, address in enumerate(addresses):
            asked = [n for n in said if worker in ways[n]]
            found.append(
                RealPod(
                    worker,
                    address,
                    here=("here", str(address)) in said.get(worker, {}),
                    asked=tuple(asked),
                    answered=tuple(n for n in asked if ("reached", str(address)) in said[n]),
                    arrives="" if place else _arrives(machines[worker], address, arrived),
                )
            )
    return found


def _counted(lines: Sequence[str]) -> frozenset[Source]:
    """From where pings arrived at one worker; from nowhere, where that cannot be read."""
    try:
        return counted_sources(lines)
    except ValueError:
        return frozenset()


def _arrives(machine: Machine, pod: Address, arrived: Mapping[str, frozenset[Source]]) -> str:
    seen = {source for name, found in arrived.items() if name != machine.name for source in found}
    inner = map(values.host, machine.internal_ips)
    if any(cidr in seen for cidr in machine.pod_cidrs if cidr.version == pod.version):
        return "itself"
    masked = any(host in seen for host in inner if host.version == pod.version)
    return "masqueraded" if masked else ""
