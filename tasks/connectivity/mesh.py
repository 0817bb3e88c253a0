"""All machines ping each other at once. Every probe stays until the last ping has ended."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.text import listed
from tasks.common.values import Network
from tasks.facts.survey import Survey
from tasks.inventory.model import Cluster, Machine
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError, said
from tasks.ssh.fleet import Fleet

from .ping import SENT, Report, Target, ping_script, read_report
from .probe import READY, Probe, full_pod_cidrs, probes


class IncompleteReport(Stop):
    """Some machines have not reported."""

    def __init__(self, message: str, reports: Mapping[str, Report]) -> None:
        """`reports`: the reports of the other machines."""
        super().__init__(message)
        self.reports = reports


def heard(answers: Mapping[str, str | MachineError]) -> dict[str, dict[tuple[str, str], list[str]]]:
    """The sections of each answer, by machine; without machines whose answer is unreadable."""
    found = {}
    for name, answer in answers.items():
        with suppress(ValueError):
            if isinstance(answer, str):
                found[name] = sections(answer)
    return found


@dataclass(frozen=True)
class PingRequest:
    """What is pinged, and how."""

    pairs: Collection[tuple[str, str]] | None = None  # from, to; None: all of them
    machines: bool = True  # from the machines themselves too, and whether they forward
    tcp: int = 0  # a port, where ICMP is closed


def ping_all(machines: Fleet, found: Survey, request: PingRequest) -> dict[str, Report]:
    """Start a probe on every worker, ping all pairs at once; the report of each machine.

    Raises IncompleteReport if a machine does not report.
    """
    pairs = request.pairs
    involved = None if pairs is None else {name for pair in pairs for name in pair}
    own = {
        m.name: probes(m, found.facts[m.name])
        for m in found.cluster.machines
        if m.name in found.facts and (involved is None or m.name in involved)
    }
    targets = {name: _targets(name, own, request) for name in own}
    scripts = {
        name: ping_script(
            own[name],
            found.facts[name],
            targets[name],
            request.tcp,
            _callers(name, found.cluster, own, request),
            forwarding=request.machines,
        )
        for name in own
    }

    reports: dict[str, Report] = {}
    troubles = []
    for name, answer in machines.in_step(scripts, READY, [(SENT, own)], "pinging").items():
        try:
            report = read_report(said(answer), targets[name])
            full = _full(found.cluster.machine(name), own[name])
            reports[name] = replace(report, why=report.why or full)
        except (MachineError, ValueError) as error:
            troubles.append(f"  {name}: {error}")
    if troubles:
        message = "\n".join(["these machines could not send their pings:", *troubles])
        raise IncompleteReport(message, reports)
    return reports


def _full(machine: Machine, own: Iterable[Probe]) -> str:
    """Why a worker has no probe in a family, and what to do; empty if it has one in each."""
    full = list(map(str, full_pod_cidrs(machine, own)))
    if not full:
        return ""
    return (
        f"every address of {listed(full)} is taken, on its links or in /var/lib/cni/networks:"
        " `fab verify --pods` pings its pods themselves"
    )


def _callers(
    name: str, cluster: Cluster, own: Collection[str], request: PingRequest
) -> Iterator[Network]:
    """The networks from which a machine's probe is pinged."""
    for machine in cluster.machines:
        if machine.name in own and (request.pairs is None or (machine.name, name) in request.pairs):
            yield from (*machine.pod_cidrs, *map(values.host, machine.internal_ips))


def _targets(name: str, own: Mapping[str, tuple[Probe, ...]], request: PingRequest) -> list[Target]:
    """What one machine pings."""
    sources = {probe.address.version: probe.address for probe in own[name]}
    found = []
    for worker, there in own.items():
        if worker == name or (request.pairs is not None and (name, worker) not in request.pairs):
            continue
        for probe in there:
            if request.machines:
                found.append(Target(worker, probe.address, None))
            if probe.address.version in sources:
                source = sources[probe.address.version]
                found.append(Target(worker, probe.address, source))
    return found
