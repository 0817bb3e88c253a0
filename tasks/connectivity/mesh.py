"""All machines pinging each other at once: from probe to probe, every one kept until the end."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tasks.common import values
from tasks.common.errors import Stop
from tasks.common.script import Script
from tasks.common.values import Network
from tasks.facts.survey import Survey
from tasks.inventory.model import Cluster
from tasks.ssh.answer import sections
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet
from tasks.ssh.shell import Shell

from .ping import SENT, Report, Target, ping_script, read_report
from .probe import READY, Probe, probes

GATE_TIMEOUT = 60  # seconds to wait for the slowest machine
TIMEOUT = 3 * GATE_TIMEOUT  # seconds for all of it


class Unheard(Stop):
    """Some machines have given no report."""

    def __init__(self, message: str, reports: Mapping[str, Report]) -> None:
        """`reports`: those of the others."""
        super().__init__(message)
        self.reports = reports


class Gate:
    """Where the machines wait for each other, or until the slowest is given up."""

    def __init__(self, marker: str, machines: Iterable[str]) -> None:
        """`marker`: what a machine prints when it has come here."""
        self.marker = marker
        self._awaited = set(machines)
        self._changed = threading.Condition()

    def pass_by(self, machine: str) -> None:
        """Do not wait for this machine any more."""
        with self._changed:
            self._awaited.discard(machine)
            if not self._awaited:
                self._changed.notify_all()

    def wait(self) -> None:
        """Return when every machine has come."""
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited, GATE_TIMEOUT)


def run_through(
    shell: Shell, script: Script, machine: str, gates: Sequence[Gate], timeout: int
) -> str:
    """Run one machine's script through gate after gate, each when all machines are there.

    Raises as `Shell.run` does.
    """
    try:
        with shell.talk(script, timeout) as talk:
            for gate in gates:
                if not talk.hear(gate.marker):
                    break
                gate.pass_by(machine)
                gate.wait()
                talk.say("go")
            return talk.answer()
    finally:
        for gate in gates:
            gate.pass_by(machine)


def heard(answers: Mapping[str, str | MachineError]) -> dict[str, dict[tuple[str, str], list[str]]]:
    """The sections of each answer; of a machine that gives none that can be read, nothing."""
    found = {}
    for name, answer in answers.items():
        with suppress(ValueError):
            if isinstance(answer, str):
                found[name] = sections(answer)
    return found


@dataclass(frozen=True)
class Asked:
    """What is pinged, and how."""

    pairs: Collection[tuple[str, str]] | None = None  # from, to; None: all of them
    machines: bool = True  # from the machines themselves too, and whether they forward
    tcp: int = 0  # a port, where ICMP is closed


def ping_all(machines: Fleet, found: Survey, asked: Asked) -> dict[str, Report]:
    """Wire a probe on every worker, ping all pairs at once; what each machine found out.

    Raises Unheard where a machine gives no report.
    """
    pairs = asked.pairs
    involved = None if pairs is None else {name for pair in pairs for name in pair}
    own = {
        m.name: probes(m, found.facts[m.name])
        for m in found.cluster.machines
        if m.name in found.facts and (involved is None or m.name in involved)
    }
    gates = [Gate(READY, own), Gate(SENT, own)]
    targets = {name: _targets(name, own, asked) for name in own}
    scripts = {
        name: ping_script(
            own[name],
            found.facts[name],
            targets[name],
            asked.tcp,
            _callers(name, found.cluster, own, asked),
            forwarding=asked.machines,
        )
        for name in own
    }

    def job(name: str) -> Callable[[Shell], str]:
        return lambda shell: run_through(shell, scripts[name], name, gates, TIMEOUT)

    reports: dict[str, Report] = {}
    troubles = []
    for name, answer in machines.meet({name: job(name) for name in own}, "pinging").items():
        try:
            if isinstance(answer, MachineError):
                raise answer
            reports[name] = read_report(answer, targets[name])
        except (MachineError, ValueError) as error:
            troubles.append(f"  {name}: {error}")
    if troubles:
        message = "\n".join(["these machines could not send their pings:", *troubles])
        raise Unheard(message, reports)
    return reports


def _callers(name: str, cluster: Cluster, own: Collection[str], asked: Asked) -> Iterator[Network]:
    """From where a machine's probe is pinged."""
    for machine in cluster.machines:
        if machine.name in own and (asked.pairs is None or (machine.name, name) in asked.pairs):
            yield from (*machine.pod_cidrs, *map(values.host, machine.internal_ips))


def _targets(name: str, own: Mapping[str, tuple[Probe, ...]], asked: Asked) -> list[Target]:
    """What one machine pings."""
    sources = {probe.address.version: probe.address for probe in own[name]}
    found = []
    for worker, there in own.items():
        if worker == name or (asked.pairs is not None and (name, worker) not in asked.pairs):
            continue
        for probe in there:
            if asked.machines:
                found.append(Target(worker, probe.address, None))
            if probe.address.version in sources:
                source = sources[probe.address.version]
                found.append(Target(worker, probe.address, source))
    return found
