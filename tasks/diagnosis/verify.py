"""One look of verify: the machines asked, all pairs pinged, and what fails examined."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tasks.connectivity.mesh import Asked, IncompleteReport, ping_all
from tasks.connectivity.ping import COUNT
from tasks.connectivity.real_pods import ping_real_pods
from tasks.connectivity.sample import PEERS, chosen
from tasks.connectivity.verdict import judge
from tasks.facts.survey import survey
from tasks.ssh.fleet import Fleet

from .diagnose import examine
from .links import pod_causes
from .result import Verification


@dataclass(frozen=True)
class Wish:
    """What a person wants to have looked at."""

    skip_unreachable: bool = False
    tcp: int = 0  # the port to connect to instead of pings; 0: pings
    peers: int = 0  # for each machine; 0: as many as fit the cluster
    seed: int = 0
    full: bool = False  # all pairs, however many
    pods: bool = False  # the pods that run there as well


def look(machines: Fleet, wish: Wish, known: Verification) -> Iterator[Verification]:
    """Ask, ping, judge and examine; yields what is known after each of these.

    Raises Stop where machines cannot be asked, or do not report; what is known was yielded then.
    """
    found = survey(machines, skip_unreachable=wish.skip_unreachable)
    pairs = chosen(found.cluster, wish.peers, wish.seed, full=wish.full)
    known = replace(
        known,
        cluster=found.cluster,
        skipped=found.skipped,
        method=_method(wish, sampled=pairs is not None),
        bridgeless=[
            n for n, f in found.facts.items() if f.reserved and f.pod_bridge not in f.bridges
        ],
    )
    yield known
    try:
        reports = ping_all(machines, found, Asked(pairs, tcp=wish.tcp))
    except IncompleteReport as stop:
        heard = {name: found.facts[name] for name in stop.reports}
        judged = judge(found.cluster, heard, stop.reports, pairs)
        yield replace(known, reports=stop.reports, pairs=judged)
        raise
    judged = judge(found.cluster, found.facts, reports, pairs)
    known = replace(known, reports=reports, pairs=judged)
    yield known
    causes = examine(machines, found, judged, wish.tcp)
    known = replace(known, causes=causes)
    yield known
    if wish.pods:
        real = ping_real_pods(machines, found, pairs)
        yield replace(known, real_pods=real, causes=[*causes, *pod_causes(found, real)])


def _method(wish: Wish, *, sampled: bool) -> str:
    sent = f"{COUNT} full-size pings a pair"
    if wish.tcp:
        sent = f"{COUNT} TCP connections to port {wish.tcp} a pair, no large packets"
    if not sampled:
        return sent
    return f"{sent}; a sample, {wish.peers or PEERS} peers each, --seed {wish.seed}"
