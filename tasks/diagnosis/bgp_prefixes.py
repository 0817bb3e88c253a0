"""Why prefixes do not come over sessions of BGP that are established. Pure."""

from collections import defaultdict
from collections.abc import Mapping

from tasks.bgp.bird_conf import bird_conf
from tasks.bgp.details import NO_DETAILS, BirdDetails
from tasks.common.text import listed
from tasks.common.values import Network
from tasks.connectivity.verdict import Pair
from tasks.inventory.model import Bgp

from .bgp_faults import APPLY, look_at
from .bgp_sessions import Unserved
from .missing import pairs_over
from .model import Cause, Scene
from .remedy import Remedy


def prefix_causes(scene: Scene, bgp: Bgp, unserved: Unserved) -> list[Cause]:
    """Why prefixes do not come over sessions that are established."""
    birds = {name: evidence.bird for name, evidence in scene.evidence.items()}
    own: dict[Network, list[str]] = defaultdict(list)
    for name, bird in birds.items():
        for prefix, protocols in bird.routes.items():
            if any(protocol.startswith("own") for protocol in protocols):
                own[prefix].append(name)
    cidrs: dict[tuple[str, int], Network] = {
        (w.name, cidr.version): cidr for w in scene.cluster.workers for cidr in w.pod_cidrs
    }
    found: dict[tuple[str, str], dict[Pair, None]] = defaultdict(dict)
    for name, routes in unserved.items():
        for m in routes:
            prefix = cidrs[m.to, m.family]
            fault = _prefix_fault(birds, own.get(prefix, []), prefix, name, m.to)
            found[fault].update(dict.fromkeys(pairs_over(scene, name, [m])))
    wheres = dict.fromkeys(where for where, _ in found)
    remedies = {where: _remedy(scene, bgp, where) for where in wheres}
    return [
        Cause(where, words, remedies[where], tuple(pairs))
        for (where, words), pairs in found.items()
    ]


def _remedy(scene: Scene, bgp: Bgp, name: str) -> Remedy | str:
    """How a machine's BIRD gets the configuration that it should have; else where to look."""
    should = bird_conf(scene.cluster, bgp, scene.cluster.machine(name))
    return APPLY if scene.facts[name].bird.conf != should else look_at(name)


def _prefix_fault(
    birds: Mapping[str, BirdDetails], announcers: list[str], prefix: Network, name: str, to: str
) -> tuple[str, str]:
    """The machine to repair, and why the prefix of one worker does not come to another machine."""
    others = [n for n in announcers if n != to]
    if others:
        whose = f"{prefix}, {to}'s pods, is announced by {listed(announcers)}"
        return others[0], whose
    if not announcers and to in birds:
        return to, f"nobody announces {prefix}, {to}'s pods"
    bird = birds.get(name, NO_DETAILS)
    for details in bird.sessions.values():
        if details.blocked:
            taken = "1 prefix" if details.limit == 1 else f"{details.limit} prefixes"
            words = f"{name}'s BIRD takes {taken} at most of a neighbor"
            return name, f"{words}, and leaves out {prefix}, {to}'s pods"
    if any(details.filtered for details in bird.sessions.values()) and prefix not in bird.routes:
        return name, f"{name}'s BIRD refuses {prefix}, which {to} announces"
    if prefix in bird.routes:
        return name, f"{name}'s BIRD knows {prefix}, {to}'s pods, and its kernel has no route"
    return to, f"{to}'s BIRD does not announce {prefix} to {name}"
