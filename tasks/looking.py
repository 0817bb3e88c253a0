"""One look of verify: everything that is asked, and put into what is published as it is known."""

from dataclasses import dataclass, replace

from .examine import examine
from .fleet import Fleet
from .pairs import judge
from .pinging import Asked, Unheard, ping_all
from .probe import COUNT
from .publication import Publication
from .sample import PEERS, chosen
from .survey import survey


@dataclass(frozen=True)
class Wish:
    """What a person wants to have looked at."""

    skip_unreachable: bool = False
    tcp: int = 0  # the port to connect to instead of pings; 0: pings
    peers: int = 0  # for each machine; 0: as many as fit the cluster
    seed: int = 0
    full: bool = False  # all pairs, however many


def look(machines: Fleet, wish: Wish, published: Publication) -> None:
    """Ask, ping, judge and examine; `published.known` grows with what is found out."""
    found = survey(machines, skip_unreachable=wish.skip_unreachable)
    pairs = chosen(found.cluster, wish.peers, wish.seed, full=wish.full)
    published.known = replace(
        published.known,
        cluster=found.cluster,
        skipped=found.skipped,
        method=_method(wish, sampled=pairs is not None),
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


def _method(wish: Wish, *, sampled: bool) -> str:
    sent = f"{COUNT} TCP connections to port {wish.tcp}" if wish.tcp else f"{COUNT} full-size pings"
    if not sampled:
        return f"{sent} a pair"
    return f"{sent} a pair; a sample, {wish.peers or PEERS} peers each, --seed {wish.seed}"
