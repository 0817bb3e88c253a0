"""Why prefixes do not come over sessions of BGP that are established. Pure."""

from tasks.bgp.bird_conf import bird_conf
from tasks.bgp.details import NO_DETAILS
from tasks.common.text import listed
from tasks.connectivity.verdict import Pair
from tasks.inventory.model import Bgp

from .bgp_faults import APPLY, look_at
from .bgp_sessions import Unserved
from .missing import MissingRoute, pairs_over
from .model import Cause, Scene
from .remedy import Remedy


def prefix_causes(scene: Scene, bgp: Bgp, unserved: Unserved) -> list[Cause]:
    """Why prefixes do not come over sessions that are established."""
    found: dict[tuple[str, str, Remedy | str], dict[Pair, None]] = {}
    for name, routes in unserved.items():
        for m in routes:
            where, words = _prefix_fault(scene, name, m)
            should = bird_conf(scene.cluster, bgp, scene.cluster.machine(where))
            remedy = APPLY if scene.facts[where].bird.conf != should else look_at(where)
            pairs = found.setdefault((where, words, remedy), {})
            pairs.update(dict.fromkeys(pairs_over(scene, name, [m])))
    return [Cause(where, words, remedy, tuple(p)) for (where, words, remedy), p in found.items()]


def _prefix_fault(scene: Scene, name: str, m: MissingRoute) -> tuple[str, str]:
    """The machine to repair, and why a prefix does not come to another one."""
    prefixes = scene.cluster.machine(m.to).pod_cidrs
    prefix = next(cidr for cidr in prefixes if cidr.version == m.family)
    birds = {n: evidence.bird for n, evidence in scene.evidence.items()}
    announcers = [
        n
        for n, bird in birds.items()
        if any(p.startswith("own") for p in bird.routes.get(prefix, ()))
    ]
    others = [n for n in announcers if n != m.to]
    if others:
        whose = f"{prefix}, {m.to}'s pods, is announced by {listed(announcers)}"
        return others[0], whose
    if not announcers and m.to in birds:
        return m.to, f"nobody announces {prefix}, {m.to}'s pods"
    bird = birds.get(name, NO_DETAILS)
    for details in bird.sessions.values():
        if details.blocked:
            taken = "1 prefix" if details.limit == 1 else f"{details.limit} prefixes"
            words = f"{name}'s BIRD takes {taken} at most of a neighbor"
            return name, f"{words}, and leaves out {prefix}, {m.to}'s pods"
    if any(details.filtered for details in bird.sessions.values()) and prefix not in bird.routes:
        return name, f"{name}'s BIRD refuses {prefix}, which {m.to} announces"
    if prefix in bird.routes:
        return name, f"{name}'s BIRD knows {prefix}, {m.to}'s pods, and its kernel has no route"
    return m.to, f"{m.to}'s BIRD does not announce {prefix} to {name}"
