"""Pings to and from real pods: the pods that the store of the host-local plugin lists.

A probe tests the routes. Real pods also show whether the pod bridge works, and which source address
other workers see. The probes' namespaces count the pings by source address.
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

MAX_PODS = 3  # pods of each worker that are pinged
SET = "== set"  # the rules that count pings are in place; a line starts the pings


@dataclass(frozen=True)
class RealPod:
    """One pod that a worker's store lists."""

    worker: str
    address: Address
    here: bool  # whether it answers its own machine; if not, it is gone or blocks ICMP
    asked: tuple[str, ...]  # the workers whose probes pinged it
    answered: tuple[str, ...]  # the workers in `asked` that it answered
    arrives: str = ""  # source address others see: "itself", "masqueraded" (SNAT), "" unknown

    @property
    def ok(self) -> bool:
        """True if it answered every worker that pinged it, or does not answer its own machine."""
        return not self.here or self.asked == self.answered


def real_pods(survey: Survey) -> dict[str, list[Address]]:
    """The first pods of each worker in the store of its host-local plugin, MAX_PODS at most."""
    return {
        worker.name: [
            address
            for address in sorted(survey.facts[worker.name].reserved, key=int)
            if values.within(values.host(address), worker.pod_cidrs)
        ][:MAX_PODS]
        for worker in survey.cluster.workers
        if worker.name in survey.facts
    }


def ping_real_pods(
    fleet: Fleet, survey: Survey, asked: Collection[tuple[str, str]] | None
) -> list[RealPod]:
    """Every probe pings the other workers' pods; each worker's first pod pings the other probes.

    `asked`: the (from, to) pairs of workers that are pinged; None: all. A worker without a report
    is in no pod's `asked`.
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
    """The script of the worker `name`. `to`: the workers whose pods and probes it pings."""
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
    """The pods' results, from the sections that each worker's script printed."""
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
    """The sources of the pings that one worker counted; none if the counters cannot be read."""
    try:
        return counted_sources(lines)
    except ValueError:
        return frozenset()


def _arrives(machine: Machine, pod: Address, arrived: Mapping[str, frozenset[Source]]) -> str:
    """The pod's source address as other workers saw it; the values of RealPod.arrives."""
    seen = {source for name, found in arrived.items() if name != machine.name for source in found}
    inner = map(values.host, machine.internal_ips)
    if any(cidr in seen for cidr in machine.pod_cidrs if cidr.version == pod.version):
        return "itself"
    masked = any(host in seen for host in inner if host.version == pod.version)
    return "masqueraded" if masked else ""
