"""`fab verify`: prove with pings that pods on different workers would reach each other."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from invoke import Context, task
from invoke.watchers import StreamWatcher

from .command import Command, fleet, help_for, report
from .exits import Status, Stop

if TYPE_CHECKING:
    from fabric import Connection

    from .fleet import Fleet
    from .probe import Probe, Report
    from .survey import Survey

GATE_TIMEOUT = 60  # seconds to wait for the slowest machine
TIMEOUT = 3 * GATE_TIMEOUT  # seconds for all of it


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
            self._changed.notify_all()

    def wait(self) -> None:
        """Return when every machine has come."""
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited, GATE_TIMEOUT)


class AtGates(StreamWatcher):
    """Lets one machine's script through gate after gate, each when all machines are there."""

    def __init__(self, machine: str, gates: Sequence[Gate]) -> None:
        super().__init__()
        self._machine = machine
        self._gates = list(gates)

    def submit(self, stream: str) -> list[str]:
        """Invoke's question: what to send, given all that the script has printed."""
        if not self._gates or self._gates[0].marker not in stream:
            return []
        gate = self._gates.pop(0)
        gate.pass_by(self._machine)
        gate.wait()
        return ["go\n"]


def ping_all(machines: "Fleet", found: "Survey") -> "dict[str, Report]":
    """Wire a probe on every worker, ping all pairs at once; what each machine found out.

    Raises Stop where a machine gives no report.
    """
    from . import shell
    from .probe import READY, SENT, probes, read_report
    from .shell import Trouble

    own = {
        m.name: probes(m, found.facts[m.name])
        for m in found.cluster.machines
        if m.name in found.facts
    }
    gates = [Gate(READY, own), Gate(SENT, own)]
    scripts = {name: _script(name, own, found) for name in own}

    def job(name: str) -> "Callable[[Connection], str]":
        def run(connection: "Connection") -> str:
            try:
                return shell.run(connection, scripts[name], [AtGates(name, gates)], TIMEOUT)
            finally:
                for gate in gates:
                    gate.pass_by(name)

        return run

    reports: dict[str, Report] = {}
    troubles = []
    for name, answer in machines.each({name: job(name) for name in own}, everyone=True).items():
        try:
            if isinstance(answer, Trouble):
                raise answer
            reports[name] = read_report(answer)
        except (Trouble, ValueError) as error:
            troubles.append(f"  {name}: {error}")
    if troubles:
        raise Stop("\n".join(["these machines could not send their pings:", *troubles]))
    return reports


def _script(name: str, own: "Mapping[str, tuple[Probe, ...]]", found: "Survey") -> str:
    from .probe import Target, script

    mine = own[name]
    sources = {probe.address.version: probe.address for probe in mine}
    targets = []
    for worker, there in own.items():
        if worker == name:
            continue
        for probe in there:
            family = probe.address.version
            targets.append(Target(worker, probe.address, None))
            if family in sources:
                targets.append(Target(worker, probe.address, sources[family]))
    return script(mine, targets, found.facts[name])


@task(klass=Command, help=help_for("inventory", "skip-unreachable"))
def verify(c: Context, inventory: str = "", skip_unreachable: bool = False) -> None:
    """Prove with pings between pod subnets that the routes work, both ways."""
    from .matrix import verify_report
    from .pairs import judge
    from .survey import survey

    machines = fleet(c, inventory)
    found = survey(machines, skip_unreachable=skip_unreachable)
    reports = ping_all(machines, found)
    pairs = judge(found.cluster, found.facts, reports)
    report(c, verify_report(pairs, reports, found.skipped))
    if not all(pair.ok for pair in pairs):
        raise Stop(status=Status.SILENT)
    if found.skipped:
        raise Stop(status=Status.NOT_WHOLE)
