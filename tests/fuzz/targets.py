"""What is fuzzed: every reader of text that others give, and all that uses what it reads.

A reader may refuse with ValueError or Stop; what follows may only Stop. What follows says what
would be sent to other machines, what would be printed, and what would be written.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property, lru_cache, partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from paramiko import Ed25519Key
from pydantic import TypeAdapter, ValidationError

from tasks.common.errors import Stop
from tasks.connectivity.mesh import PingRequest, ping_all
from tasks.connectivity.ping import Report, read_report
from tasks.connectivity.ping import Target as Pinged
from tasks.connectivity.probe import probes
from tasks.connectivity.real_pods import (
    RealPod,
    ping_real_pods,
    read_real_pods,
    real_pods,
)
from tasks.connectivity.verdict import Pair, judge
from tasks.diagnosis.evidence import Evidence, read_evidence
from tasks.diagnosis.isolate import run_trials
from tasks.diagnosis.links import pod_causes, settings_causes
from tasks.diagnosis.model import Routed, Scene
from tasks.diagnosis.mtu import mtu_causes
from tasks.diagnosis.path import trial_causes
from tasks.diagnosis.provider_table import table_causes
from tasks.diagnosis.result import Verification
from tasks.diagnosis.routing import part_causes
from tasks.diagnosis.trials import Trials, read_trials
from tasks.discovery import sources
from tasks.discovery.model import Found, Request
from tasks.facts import parse as facts_of
from tasks.facts.complete import complete
from tasks.facts.model import Facts
from tasks.facts.run_order import last_run
from tasks.facts.survey import Survey
from tasks.foresight.doubts import doubts
from tasks.inventory.model import Cluster, ProviderNetwork
from tasks.inventory.read import read as read_inventory
from tasks.iproute.printed import route_words, rule_words
from tasks.networks.memory import Memory, remember, remembered
from tasks.networks.model import Table
from tasks.networks.state import NetworkState
from tasks.planning.drain import plan_drain
from tasks.planning.model import Allowed, Plan
from tasks.planning.provider_table import plan_table
from tasks.planning.reconcile import plan_routes
from tasks.planning.rollback import plan_last, plan_rollback
from tasks.planning.table_rollback import last_record, plan_table_last, plan_table_rollback
from tasks.reports.page import verify_page
from tasks.reports.plan import dry_run_report, plan_report
from tasks.reports.plan_json import plan_json
from tasks.reports.rollout import rollout_report
from tasks.reports.status import history_report, network_report, status_report
from tasks.reports.verify_formats import verify_json, verify_junit
from tasks.reports.verify_table import verify_report
from tasks.rollout.history import Histories, histories
from tasks.rollout.losses import Losses
from tasks.rollout.outcome import NO_STEPS, Outcome, read_outcome
from tasks.rollout.steps import steps
from tasks.rollout.table_watch import table_repair
from tasks.rollout.transaction import roll_out
from tasks.rollout.watch import repair, unrepaired
from tasks.snapshots.anonymous import anonymous
from tasks.snapshots.file import from_text, to_text
from tasks.snapshots.model import Snapshot, State
from tasks.snapshots.read import read_state
from tasks.ssh.answer import sections
from tasks.ssh.known_hosts import KnownHosts, read_lines
from tasks.twin.copy import design_copy, stand_ins
from tasks.twin.design import Spec, design
from tasks.undo.run import new_run
from tests.hostile.stories import A
from tests.snapshots.test_file import snapshot

from .answers import answers, inventory, of_others
from .machines import Deaf, heard
from .tables import MEMORY, TABLES, USED, read_table

REPLACE = Allowed(replace=True)

Out = tuple[str, str]  # "sent", "shown", "json" or "written", and the text


@dataclass(frozen=True)
class Target:
    """A reader, what uses what it reads, and texts to start from."""

    name: str
    read: Callable[[str], Any]
    use: Callable[[Any], Iterable[Out]]
    seeds: tuple[str, ...]


def _said(
    name: str, read: Callable[[str], Any], use: Callable[[Any], Iterable[Out]], seeds: Sequence[str]
) -> Target:
    """A target that a machine speaks to, through the shell."""
    return Target(name, lambda text: read(heard(text)), use, tuple(seeds))


class World:
    """A cluster of which one machine lies; `scratch` is a directory for files to be read."""

    def __init__(self, scratch: Path) -> None:
        self._file = scratch / "text"
        self._scratch = scratch
        file = scratch / "hosts.toml"
        file.write_text(inventory())
        self.cluster = read_inventory(file, with_key=False)
        self._turn = 0
        self.honest = facts_of.read(answers("facts")[0])
        self.others = {name: facts_of.read(said) for name, said in of_others().items()}
        self.survey = self._survey(self.honest)
        self._pinged_by_a = list(_pinged(self.survey))
        self.plan = plan_routes(self.survey.cluster, self.survey.facts, REPLACE)

    def _survey(self, found: Facts) -> Survey:
        facts = {m.name: self.others.get(m.name, found) for m in self.cluster.machines}
        cluster, _ = complete(self.cluster, facts)
        return Survey(cluster, facts, {})

    def _next(self, number: int) -> int:
        """Which of several uses has its turn."""
        self._turn += 1
        return self._turn % number

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """All of them."""
        return (
            _said("facts", self.read_facts, self.with_facts, answers("facts")),
            _said("snapshot", read_state, self.with_state, answers("snapshot")),
            Target("snapshot file", _read_snapshot, _with_snapshot, (to_text(snapshot()),)),
            _said("evidence", read_evidence, self.with_evidence, answers("evidence")),
            _said("pings", self.read_pings, self.with_pings, answers("pings")),
            _said("trials", self.read_trials, self.with_trials, answers("trials")),
            _said("pods", self.read_pods, self.with_pods, answers("pods")),
            _said("outcome", self.read_outcome, self.with_outcome, answers("outcome")),
            _said("history", self.read_history, self.with_history, answers("history")),
            Target("known_hosts", self.read_known_hosts, self.with_known_hosts, _known_hosts()),
            Target("hosts.toml", self.read_inventory, self.with_inventory, (inventory(), FULL)),
            Target("machines.txt", self.read_machines, _with_found, (MACHINES,)),
            Target("twin", Spec.from_text, _with_spec, (design(self.survey.cluster).to_text(),)),
            *(Target(n, partial(_read_source, n), _with_found, seeds) for n, seeds in JSON.items()),
            *(
                Target(f"{name} table", partial(read_table, name), self.with_table, (seed,))
                for name, seed in TABLES.items()
            ),
            Target("hosts.network.json", self.read_memory, self.with_memory, (MEMORY,)),
        )

    # What machines say of themselves.

    def read_facts(self, text: str) -> tuple[str, Facts]:
        return text, facts_of.read(text)

    def with_facts(self, said: tuple[str, Facts]) -> Iterator[Out]:
        text, found = said
        survey = self._survey(found)
        facts = survey.facts
        uses: list[Callable[[], Iterator[Out]]] = [
            lambda: self._planned(plan_routes(survey.cluster, facts, REPLACE), survey),
            lambda: self._planned(plan_rollback(self.cluster, facts, {}), survey),
            lambda: self._planned(plan_last(self.cluster, facts, last_run({A: found})), survey),
            lambda: self._planned(plan_drain(survey.cluster, facts, "worker-2", True, {}), survey),
            lambda: self._pinged(survey),
            lambda: self._watched(survey),
            lambda: _printed(
                status_report(facts, survey.cluster),
                *map(str, part_causes(Scene(survey.cluster, facts, {}, ()))),
            ),
            lambda: self._discovered(text),
        ]
        if found.pending is not None:
            yield "shown", found.pending.until
        yield from uses[self._next(len(uses))]()

    def _planned(self, plan: Plan, survey: Survey) -> Iterator[Out]:
        deaf = Deaf(survey.cluster)
        ended = roll_out(deaf.fleet, plan, survey.facts, new_run(survey.cluster.pod_networks, 60))
        yield from _to_others(deaf)
        yield from _printed(plan_report(plan), rollout_report(plan, ended), dry_run_report(plan))
        yield "json", plan_json(plan, survey.cluster)

    def _pinged(self, survey: Survey) -> Iterator[Out]:
        deaf = Deaf(survey.cluster)
        for asked in (PingRequest(), PingRequest(tcp=80)):
            try:
                ping_all(deaf.fleet, survey, asked)
            except Stop as stop:
                yield "shown", str(stop)
        ping_real_pods(deaf.fleet, survey, None)
        run_trials(deaf.fleet, survey, self._pairs(silent=True)[:4], self._pairs(silent=False)[:2])
        yield from _to_others(deaf)

    def _watched(self, survey: Survey) -> Iterator[Out]:
        plan = plan_routes(survey.cluster, {A: survey.facts[A]}, Allowed())
        for machine in plan.machines:
            losses = Losses()
            made = repair(machine, survey.facts[A], losses)
            yield from _printed(*unrepaired(machine, made, losses))

    def _discovered(self, text: str) -> Iterator[Out]:
        deaf = Deaf(self.cluster, {**of_others(), A: text})
        request = Request(_NO_CONTEXT, fleet=lambda: deaf.fleet, skip_unreachable=True)
        with redirect_stderr(StringIO()) as told:
            found = list(sources.ask("ssh", request))
        yield "shown", told.getvalue()
        yield from _with_found(found)

    def with_state(self, state: State) -> Iterator[Out]:
        yield from _with_snapshot(snapshot(state))
        states = dict.fromkeys(self.survey.facts, snapshot().machines[0].state) | {A: state}
        pairs = [*self._pairs(silent=True), *self._pairs(silent=False)]
        yield from _printed(*doubts(self.survey, pairs, states, {A: state.missing}).values())

    # What they say where pings fail.

    @lru_cache  # noqa: B019  # one world a process
    def _pairs(self, silent: bool) -> list[Pair]:
        reports = {name: Report("bridge", "", {4: True, 6: True}, ()) for name in self.survey.facts}
        pairs = judge(self.survey.cluster, self.survey.facts, reports, None)
        said = [replace(p, verdict="silent" if silent else "large lost") for p in pairs]
        return [p for p in said if A in (p.source, p.target) and p.from_pod]

    def _scene(self, evidence: Mapping[str, Evidence]) -> Scene:
        pairs = [*self._pairs(silent=True), *self._pairs(silent=False)]
        return Scene(self.survey.cluster, self.survey.facts, evidence, pairs)

    def with_evidence(self, found: Evidence) -> Iterator[Out]:
        causes = settings_causes(self._scene({A: found}))
        yield from self._verified(pairs=self._pairs(silent=True), causes=causes)

    def read_trials(self, text: str) -> Trials:
        tried = self._pairs(silent=True)[:4]
        said = {**dict.fromkeys(self.survey.facts, answers("trials")[0]), A: text}
        found = {name: sections(answer) for name, answer in said.items()}
        return read_trials(tried, self._pairs(silent=False), found, self.survey.facts, 0)

    def with_trials(self, found: Trials) -> Iterator[Out]:
        scene = self._scene({A: read_evidence(answers("evidence")[0])})
        causes = trial_causes(scene, found, self._pairs(silent=True)) + mtu_causes(scene, found)
        yield from self._verified(pairs=self._pairs(silent=True), causes=causes)

    def read_pings(self, text: str) -> Report:
        return read_report(text, self._pinged_by_a)

    def with_pings(self, found: Report) -> Iterator[Out]:
        reports = dict.fromkeys(self.survey.facts, found)
        pairs = judge(self.survey.cluster, self.survey.facts, reports, None)
        yield from self._verified(reports=reports, pairs=pairs)

    def read_pods(self, text: str) -> list[RealPod]:
        workers = {m.name: m for m in self.survey.cluster.workers}
        said = {name: sections(text) for name in workers}
        ways = {name: [o for o in workers if o != name] for name in workers}
        return read_real_pods(workers, real_pods(self.survey), ways, said)

    def with_pods(self, found: list[RealPod]) -> Iterator[Out]:
        yield from self._verified(real_pods=found, causes=pod_causes(self.survey, found))

    def _verified(self, **known: Any) -> Iterator[Out]:
        when = datetime(2026, 1, 1, tzinfo=timezone.utc)
        run = Verification(self.survey.cluster, when, **known)
        turn = self._next(256)
        if turn == 0:
            yield "written", verify_page(run)
        elif turn % 16 == 1:
            yield "written", verify_junit(run)
        elif turn % 4 == 2:
            yield "json", verify_json(run)
        else:
            yield "shown", verify_report(run)

    # What they say of changes.

    def read_outcome(self, text: str) -> Outcome:
        read_outcome(text, NO_STEPS)
        machine = next(m for m in self.plan.machines if m.name == A)
        return read_outcome(text, steps(machine, "20260101T000000.000000"))

    def with_outcome(self, found: Outcome) -> Iterator[Out]:
        yield from _printed(found.words, found.line, *map(str, found.routes))

    def read_history(self, text: str) -> Histories:
        said = dict.fromkeys((m.name for m in self.cluster.machines), answers("history")[0])
        deaf = Deaf(self.cluster, {**said, A: text})
        return histories(deaf.fleet, skip_unreachable=True)

    def with_history(self, found: Histories) -> Iterator[Out]:
        yield from _printed(history_report(found.entries, 20), *map(str, found.skipped.values()))

    # What providers say of their tables.

    def with_table(self, said: Routed) -> Iterator[Out]:
        assert said.table is not None
        own = frozenset(r.key for r in said.table.routes[::2] if r.key)
        memory = Memory(said.table.id, own, unchecked=frozenset(m.id for m in said.table.members))
        yield from self._tabled(said.table, memory)
        pairs = self._pairs(silent=True)
        for cause in table_causes(Scene(self.survey.cluster, self.survey.facts, {}, pairs, said)):
            yield from _printed(cause.words, str(cause.remedy))

    def _tabled(self, table: Table, memory: Memory) -> Iterator[Out]:
        cluster = self.survey.cluster
        state = NetworkState("kubernetes (hetzner)", table, memory, atomic=False)
        every = Allowed(replace=True, prune=True, force=True, adopt=True)
        made, lines = table_repair(cluster, state, (), Losses())
        yield from _printed(network_report(state), *lines)
        records = [last_record(cluster, state, one.run, (), A) for one in memory.runs]
        for routes in (
            made,
            plan_table(cluster, state, every),
            plan_table(cluster, state, Allowed(), A),
            plan_table_rollback(cluster, state),
            *(plan_table_last(state, record) for record in records if record),
        ):
            plan = Plan((), {}, network=routes)
            yield from _printed(plan_report(plan), dry_run_report(plan))
            yield "json", plan_json(plan, cluster)

    def read_memory(self, text: str) -> Memory:
        where = ProviderNetwork("hetzner", "kubernetes", self._written(text))
        return remembered(where, "7")

    def with_memory(self, memory: Memory) -> Iterator[Out]:
        table = read_table("hetzner", TABLES["hetzner"]).table
        assert table is not None
        yield from self._tabled(table, memory)
        where = ProviderNetwork("hetzner", "kubernetes", self._scratch / "kept")
        remember(where, memory)
        if not memory.empty:
            assert remembered(where, "7") == memory

    # What stands in files.

    def _written(self, text: str) -> Path:
        self._file.write_bytes(text.encode("utf-8", "surrogateescape"))
        return self._file

    def read_known_hosts(self, text: str) -> Any:
        file = self._written(text)
        return (read_lines([file]), KnownHosts("strict", [file], self._scratch / "learnt"))

    def with_known_hosts(self, found: Any) -> Iterator[Out]:
        lines, known = found
        yield from _printed(*(line.place for line in lines), *known.types("192.0.2.1"))
        try:
            known.check("worker-1", _key())
        except Exception as error:  # judged by its kind
            if type(error).__name__ != "HostKeyRefused":
                raise
            yield "shown", str(error)

    def read_inventory(self, text: str) -> Cluster:
        return read_inventory(self._written(text), with_key=False)

    def with_inventory(self, cluster: Cluster) -> Iterator[Out]:
        facts = {m.name: self.others.get(m.name, self.honest) for m in cluster.machines}
        whole, mistakes = complete(cluster, facts)
        yield from _printed(*mistakes)
        if not mistakes:
            yield from _printed(plan_report(plan_routes(whole, facts, Allowed())))

    def read_machines(self, text: str) -> list[Found]:
        file = self._written(text)
        return list(sources.ask("machines", Request(c=_NO_CONTEXT, file=file)))


_NO_CONTEXT: Any = None


def _pinged(survey: Survey) -> Iterator[Pinged]:
    """What the machine that lies pings."""
    own = {m.name: probes(m, survey.facts[m.name]) for m in survey.cluster.workers}
    for name in own.keys() - {A}:
        for probe, source in zip(own[name], own[A], strict=True):
            yield Pinged(name, probe.address, None)
            yield Pinged(name, probe.address, source.address)


def _to_others(deaf: Deaf) -> Iterator[Out]:
    return (("sent", script) for name, script in deaf.sent if name != A)


def _printed(*texts: str) -> Iterator[Out]:
    return (("shown", text) for text in texts)


@lru_cache
def _key() -> Ed25519Key:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return Ed25519Key.from_private_key(StringIO(text.decode()))


def _known_hosts() -> tuple[str, ...]:
    key = f"{_key().get_name()} {_key().get_base64()}"
    hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg="
    lines = (f"worker-1,192.0.2.1 {key}", f"@revoked *.example {key}", f"{hashed} {key}", "# none")
    return ("\n".join(lines),)


def _read_source(name: str, text: str) -> list[Found]:
    """What a source makes of a program's JSON: of one answer after the other, a line each."""
    lines = iter(text.split("\n"))

    def answer(_c: Any, _argv: Any, shape: Any, **_more: Any) -> Any:
        said = next(lines, "")
        try:
            return TypeAdapter(shape).validate_json(said.encode("utf-8", "surrogateescape"))
        except ValidationError as error:
            raise Stop("its answer cannot be read") from error

    module: Any = import_module(f"tasks.discovery.sources.{name}")
    real = module.answer_of
    module.answer_of = answer
    try:
        return list(sources.ask(name, Request(c=_NO_CONTEXT)))
    finally:
        module.answer_of = real


def _with_found(found: list[Found]) -> Iterator[Out]:
    for one in found:
        yield from _printed(one.name, *one.notes)
        for value in one.values:
            yield "sent", value.text
            yield "shown", value.place
        for attached in (one.networks or {}).values():
            yield from _printed(str(attached.network), attached.id, attached.link)


def _read_snapshot(text: str) -> Snapshot:
    return from_text(text, "snapshot.json")


def _with_snapshot(taken: Snapshot) -> Iterator[Out]:
    yield from _with_spec(design_copy(taken))
    yield "written", to_text(anonymous(taken))
    for member in taken.machines:
        yield from _printed(*(g.words for g in (*member.state.missing, *stand_ins(member.state))))
        for tables in (member.state.ipv4, member.state.ipv6):
            for words in (*map(route_words, tables.routes), *map(rule_words, tables.rules)):
                yield "written", words  # into a batch of the copy's own ip


def _with_spec(spec: Spec) -> Iterator[Out]:
    yield from _printed(*spec.invented)
    for host in spec.hosts:
        for text in (host.address, *host.internal_ips, *host.pod_cidrs):
            yield "sent", text


MACHINES = """10.240.0.6 worker-0.kubernetes.local worker-0 10.200.0.0/24
10.240.0.10 controller-0.kubernetes.local controller-0  # no pods
"""
FULL = """[cluster]
pod_networks = ["10.200.0.0/16", "fd00:200::/48"]
node_networks = ["10.240.0.0/24"]
persist = "auto"

[ssh]
user = "root"
port = 22
host_keys = "accept-new"

[[workers]]
name = "worker-1"
public_ip = "203.0.113.11"
internal_ip = ["10.240.0.7", "fd00:240::7"]
pod_cidr = ["10.200.1.0/24", "fd00:200:0:1::/64"]
"""
_METADATA = {"name": "worker-0", "labels": {"role": "worker"}}
_SPEC = {"podCIDR": "10.200.0.0/24", "podCIDRs": ["10.200.0.0/24", "fd00:200::/64"]}
_STATUS = {"addresses": [{"type": "InternalIP", "address": "10.240.0.6"}]}
_LINK = {"PrivateIpAddress": "10.240.0.6", "SubnetId": "subnet-1", "VpcId": "vpc-1"}
_TAGS = [{"Key": "Name", "Value": "worker-0"}]
_INSTANCE = {"InstanceId": "i-0", "NetworkInterfaces": [_LINK], "Tags": _TAGS}
_RESERVATIONS = {
    "Reservations": [{"Instances": [{**_INSTANCE, "PublicIpAddress": "203.0.113.10"}]}]
}
JSON = {
    "kubectl": (
        json.dumps({"items": [{"metadata": _METADATA, "spec": _SPEC, "status": _STATUS}]}),
    ),
    "hcloud": (
        json.dumps(
            [
                {
                    "name": "worker-0",
                    "public_net": {"ipv4": {"ip": "203.0.113.10"}, "ipv6": {"ip": "2001:db8::/64"}},
                    "private_net": [{"network": 7, "ip": "10.240.0.6"}],
                    "labels": {"role": "worker"},
                }
            ]
        )
        + '\n[{"id": 7, "name": "kubernetes"}]',
    ),
    "aws": (f"{json.dumps(_RESERVATIONS)}\n{json.dumps({'RouteTables': [USED]})}",),
    "doctl": (
        json.dumps(
            [
                {
                    "name": "worker-0",
                    "networks": {
                        "v4": [{"ip_address": "203.0.113.10", "type": "public"}],
                        "v6": [{"ip_address": "2001:db8::1", "type": "public"}],
                    },
                    "tags": ["worker"],
                }
            ]
        ),
    ),
    "vultr": (
        json.dumps(
            {
                "instances": [
                    {
                        "label": "worker-0",
                        "main_ip": "203.0.113.10",
                        "v6_main_ip": "2001:db8::1",
                        "internal_ip": "10.240.0.6",
                        "tags": ["worker"],
                    }
                ],
                "meta": {"links": {"next": ""}},
            }
        ),
    ),
}
