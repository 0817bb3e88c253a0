"""Real pods: those that host-local's store lists, pinged, and pinging.

A probe shows what routes do; pods show the rest: whether their bridge is there, and with which
source address they arrive elsewhere. That is counted in the probes' own namespaces.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from .answer import sections
from .cluster import Machine
from .diagnosis import Cause
from .fleet import Fleet
from .pinging import TIMEOUT, Gate, run_through
from .pings import SENT, Callers, counted_sources
from .probe import READY, Probe, probe_script, probes
from .script import Script, script
from .shell import Shell, Trouble
from .survey import Survey
from .values import Address, host, within

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
    arrives: str = ""  # as what it arrives at other workers: itself, masqueraded; else unknown

    @property
    def ok(self) -> bool:
        """Whether all whom it could answer were answered."""
        return not self.here or self.asked == self.answered


def real_pods(survey: Survey) -> dict[str, list[Address]]:
    """Some pods of each worker, by the store of its host-local plugin."""
    return {
        worker.name: [
            address
            for address in sorted(survey.facts[worker.name].reserved, key=int)
            if within(host(address), worker.pod_cidrs)
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
    gates = [Gate(marker, machines) for marker in (READY, SET, SENT)]
    ways = {
        name: [o for o in machines if o != name and (asked is None or (name, o) in asked)]
        for name in machines
    }

    def job(name: str) -> Callable[[Shell], str]:
        body = _body(machines, own, pods, name, ways[name])
        text = probe_script(own[name], body, survey.facts[name])

        return lambda shell: run_through(shell, text, name, gates, TIMEOUT)

    answers = fleet.meet({name: job(name) for name in machines}, "pinging pods")
    said = {name: sections(a) for name, a in answers.items() if not isinstance(a, Trouble)}
    return read_real_pods(machines, pods, ways, said)


def _body(
    machines: Mapping[str, Machine],
    own: Mapping[str, Sequence[Probe]],
    pods: Mapping[str, Sequence[Address]],
    name: str,
    to: Sequence[str],
) -> Script:
    """The shell function `pings` of one worker, for `probe_script`."""
    sources = {probe.address.version: probe.address for probe in own[name]}
    first = {address.version: address for address in reversed(pods[name])}
    return script(
        "real_pods.sh",
        arriving=[
            f"{n.version} {n}"
            for other, machine in machines.items()
            if other != name
            for n in (*machine.pod_cidrs, *map(host, machine.internal_ips))
        ],
        reached=[
            f"{address} {sources[address.version]}"
            for other in to
            for address in pods[other]
            if address.version in sources
        ],
        own_pods=pods[name],
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
    heard = {
        name: counted_sources(answer.get(("arrived", ""), [])) for name, answer in said.items()
    }
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
                    arrives="" if place else _arrives(machines[worker], address, heard),
                )
            )
    return found


def _arrives(machine: Machine, pod: Address, heard: Mapping[str, Callers]) -> str:
    came = {prefix for name, found in heard.items() if name != machine.name for prefix in found}
    inner = {host(ip) for ip in machine.internal_ips if ip.version == pod.version}
    itself = {cidr for cidr in machine.pod_cidrs if cidr.version == pod.version}
    if itself & came:
        return "itself"
    return "masqueraded" if inner & came else ""


def pod_causes(survey: Survey, pods: Sequence[RealPod]) -> list[Cause]:
    """Why pods are cut off though the routes to them may be right."""
    causes = []
    for worker in dict.fromkeys(pod.worker for pod in pods):
        facts = survey.facts[worker]
        if facts.pod_bridge not in facts.bridges:
            words = f"{worker}: its pod bridge {facts.pod_bridge} is missing, its pods are cut off"
            remedy = f"restart the pods of {worker}: the first one makes it again"
            causes.append(Cause(worker, words, remedy, ()))
    return causes
