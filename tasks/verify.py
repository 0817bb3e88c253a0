"""`fab verify`: prove with pings that pods on different workers would reach each other."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from invoke import Context, task
from invoke.watchers import StreamWatcher

from .command import Command, fleet, help_for
from .exits import Status, Stop

if TYPE_CHECKING:
    from fabric import Connection

    from .fleet import Fleet
    from .probe import Probe, Report
    from .survey import Survey

GATE_TIMEOUT = 20  # seconds to wait for the slowest machine's probe


class Gate:
    """Where the machines wait until every probe is there, or until the slowest is given up."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._changed = threading.Condition()

    def arrive(self) -> None:
        """One machine less to wait for."""
        with self._changed:
            self._missing -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Return when all have arrived."""
        with self._changed:
            self._changed.wait_for(lambda: self._missing <= 0, GATE_TIMEOUT)


class AtGate(StreamWatcher):
    """Lets one machine's script go on when all are ready."""

    def __init__(self, arrive: Callable[[], None], gate: Gate) -> None:
        super().__init__()
        self._arrive = arrive
        self._gate = gate
        self._passed = False

    def submit(self, stream: str) -> list[str]:
        """Invoke's question: what to send, given all that the script has printed."""
        from .probe import READY

        if self._passed or READY not in stream:
            return []
        self._passed = True
        self._arrive()
        self._gate.wait()
        return ["go\n"]


def ping_all(machines: "Fleet", found: "Survey") -> "dict[str, Report]":
    """Wire a probe on every worker, ping all pairs at once; what each machine found out.

    Raises Stop where a machine gives no report.
    """
    from . import shell
    from .probe import probes, read_report
    from .shell import Trouble

    own = {
        m.name: probes(m, found.facts[m.name])
        for m in found.cluster.machines
        if m.name in found.facts
    }
    gate = Gate(len(own))
    scripts = {name: _script(name, own, found) for name in own}

    def job(name: str) -> "Callable[[Connection], str]":
        arrived = threading.Event()

        def arrive() -> None:
            if not arrived.is_set():
                arrived.set()
                gate.arrive()

        def run(connection: "Connection") -> str:
            try:
                return shell.run(connection, scripts[name], [AtGate(arrive, gate)])
            finally:
                arrive()

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
    print(verify_report(pairs, reports, found.skipped))
    if not all(pair.ok for pair in pairs):
        raise Stop(status=Status.SILENT)
    if found.skipped:
        raise Stop(status=Status.NOT_WHOLE)
