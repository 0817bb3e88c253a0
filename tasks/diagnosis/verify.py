"""One look of verify: everything that is asked, and put into what is published as it is known."""

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from time import sleep
from typing import NoReturn

from tasks.common.errors import Stop
from tasks.connectivity.mesh import Asked, Unheard, ping_all
from tasks.connectivity.ping import COUNT
from tasks.connectivity.real_pods import ping_real_pods
from tasks.connectivity.sample import PEERS, chosen
from tasks.connectivity.verdict import judge
from tasks.facts.survey import survey
from tasks.reports.publish import Publication
from tasks.ssh.fleet import Fleet

from .diagnose import examine
from .links import pod_causes
from .result import Verification, beginning


@dataclass(frozen=True)
class Wish:
    """What a person wants to have looked at."""

    skip_unreachable: bool = False
    tcp: int = 0  # the port to connect to instead of pings; 0: pings
    peers: int = 0  # for each machine; 0: as many as fit the cluster
    seed: int = 0
    full: bool = False  # all pairs, however many
    pods: bool = False  # the pods that run there as well


def look(machines: Fleet, wish: Wish, published: Publication) -> None:
    """Ask, ping, judge and examine; `published.known` grows with what is found out."""
    found = survey(machines, skip_unreachable=wish.skip_unreachable)
    pairs = chosen(found.cluster, wish.peers, wish.seed, full=wish.full)
    published.known = replace(
        published.known,
        cluster=found.cluster,
        skipped=found.skipped,
        method=_method(wish, sampled=pairs is not None),
        bridgeless=[
            n for n, f in found.facts.items() if f.reserved and f.pod_bridge not in f.bridges
        ],
    )
    try:
        reports = ping_all(machines, found, Asked(pairs, tcp=wish.tcp))
    except Unheard as stop:
        heard = {name: found.facts[name] for name in stop.reports}
        judged = judge(found.cluster, heard, stop.reports, pairs)
        published.known = replace(published.known, reports=stop.reports, pairs=judged)
        raise
    judged = judge(found.cluster, found.facts, reports, pairs)
    published.known = replace(published.known, reports=reports, pairs=judged)
    causes = examine(machines, found, judged, wish.tcp)
    published.known = replace(published.known, causes=causes)
    if wish.pods:
        real = ping_real_pods(machines, found, pairs)
        causes = [*causes, *pod_causes(found, real)]
        published.known = replace(published.known, real_pods=real, causes=causes)


def keep_looking(
    machines: Fleet, wish: Wish, known: Verification, page: str, every: int
) -> NoReturn:
    """Look again every so many seconds, and print what has changed; until it is interrupted.

    A machine that cannot be asked is a change as well, and ends nothing.
    """
    wish = replace(wish, skip_unreachable=True)
    trouble = ""
    while True:
        sleep(every)
        begun = beginning(machines.cluster, rehearsal=known.rehearsal)
        published = Publication(begun, "table", page, partial(print, flush=True), known)
        try:
            with published:
                look(machines, wish, published)
            known, trouble = published.known, ""
        except Stop as stop:
            if stop.message != trouble:
                trouble = str(stop.message)
                print(f"{datetime.now():%H:%M:%S}  {trouble}", file=sys.stderr)


def _method(wish: Wish, *, sampled: bool) -> str:
    sent = f"{COUNT} full-size pings a pair"
    if wish.tcp:
        sent = f"{COUNT} TCP connections to port {wish.tcp} a pair, no large packets"
    if not sampled:
        return sent
    return f"{sent}; a sample, {wish.peers or PEERS} peers each, --seed {wish.seed}"
