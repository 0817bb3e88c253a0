"""One run of verify: ask the machines, ping all pairs, and diagnose those that fail."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tasks.common.text import counted
from tasks.connectivity.mesh import IncompleteReport, PingRequest, ping_all
from tasks.connectivity.ping import COUNT
from tasks.connectivity.real_pods import ping_real_pods
from tasks.connectivity.sample import PEERS, chosen
from tasks.connectivity.verdict import judge
from tasks.facts.survey import survey
from tasks.ssh.fleet import Fleet

from .diagnose import diagnose
from .links import pod_causes
from .model import Scene
from .result import Verification
from .routing import unplanned_routes


@dataclass(frozen=True)
class VerifyOptions:
    """What the command line asks of a run of verify."""

    skip_unreachable: bool = False
    tcp: int = 0  # the port to connect to instead of pinging; 0: ping
    peers: int = 0  # how many peers each machine pings; 0: as many as fit the cluster
    seed: int = 0  # which sample of peers
    full: bool = False  # ping all pairs, however many
    pods: bool = False  # also ping the pods that run on the workers


def run_verify(fleet: Fleet, options: VerifyOptions, known: Verification) -> Iterator[Verification]:
    """Verify, and yield all that is known so far: at the start, and after each step.

    Raises Stop where machines cannot be asked, or do not report. All that was known by then has
    been yielded before.
    """
    yield known
    found = survey(fleet, skip_unreachable=options.skip_unreachable, pings=True)
    pairs = chosen(found.cluster, options.peers, options.seed, full=options.full)
    known = replace(
        known,
        cluster=found.cluster,
        skipped=found.skipped,
        method=_method(options, sampled=pairs is not None),
        bridgeless=[name for name, facts in found.facts.items() if facts.bridgeless],
    )
    yield known
    try:
        reports = ping_all(fleet, found, PingRequest(pairs, tcp=options.tcp))
    except IncompleteReport as stop:
        heard = {name: found.facts[name] for name in stop.reports}
        judged = judge(found.cluster, heard, stop.reports, pairs)
        yield replace(known, reports=stop.reports, pairs=judged)
        raise
    judged = judge(found.cluster, found.facts, reports, pairs)
    unplanned = unplanned_routes(Scene(found.cluster, found.facts, {}, judged))
    known = replace(known, reports=reports, pairs=judged, unplanned=unplanned)
    yield known
    known = replace(known, causes=diagnose(fleet, found, judged, options.tcp))
    yield known
    if options.pods:
        pods = ping_real_pods(fleet, found, pairs)
        yield replace(known, real_pods=pods, causes=[*known.causes, *pod_causes(found, pods)])


def _method(options: VerifyOptions, *, sampled: bool) -> str:
    """How the pairs were chosen and pinged, in words."""
    sent = f"{COUNT} full-size pings a pair"
    if options.tcp:
        sent = f"{COUNT} TCP connections to port {options.tcp} a pair, no large packets"
    if not sampled:
        return sent
    peers = counted(options.peers or PEERS, "peer")
    return f"{sent}; a sample, {peers} each, --seed {options.seed}"
