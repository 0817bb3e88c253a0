"""Causes in the machines' links and settings, and in the pod bridges. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tasks.common.text import listed
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.facts.survey import Survey

from .model import Cause, Scene
from .remedy import Remedy, set_sysctl
from .routing import route_causes


def settings_causes(scene: Scene) -> list[Cause]:
    """The causes that the machines' own links, routes, rules and settings show."""
    names = _ends(scene.silent)
    links = [cause for name in names for cause in _internal_links(scene, name)]
    down = {cause.machine for cause in links}
    routes = route_causes(scene, [name for name in names if name not in down])
    bridges = [cause for name in names for cause in _pod_bridge(scene, name)]
    every = (*links, *routes, *bridges, *_not_forwarding(scene))
    return [cause for cause in every if cause.pairs or not cause.loses]


def _ends(pairs: Iterable[Pair]) -> list[str]:
    """The machines at the ends of some pairs, each once."""
    return list(dict.fromkeys(name for pair in pairs for name in (pair.source, pair.target)))


def _internal_links(scene: Scene, name: str) -> Iterator[Cause]:
    """A machine's internal links that are down.

    Report the link, not the routes that the kernel removed with it.
    """
    families = dict.fromkeys(pair.family for pair in scene.silent)
    for device in dict.fromkeys(scene.device(name, family) for family in families):
        link = scene.link(name, device)
        if link is None or (link.on and link.carrier):
            continue
        words = f"{name}: {device} {'has no carrier' if link.on else 'is down'}"
        then = "then, from here: fab apply-routes"
        up = Remedy(name, (f"ip link set {device} up",), then)
        remedy = f"check its cable and its port; {then}" if link.on else up
        yield Cause(name, words, remedy, tuple(scene.silent_by_end[name]))


def _pod_bridge(scene: Scene, name: str) -> Iterator[Cause]:
    """A machine's pod bridge, where it is down."""
    bridge = scene.facts[name].pod_bridge
    link = scene.link(name, bridge)
    if link is not None and not link.on:
        words = f"{name}: pod bridge {bridge} is down"
        up = Remedy(name, (f"ip link set {bridge} up",))
        yield Cause(name, words, up, scene.silent_through(name))


def _not_forwarding(scene: Scene) -> Iterator[Cause]:
    """Settings that keep machines from forwarding. Machines with the same setting are one cause."""
    names: dict[tuple[int, str], list[str]] = defaultdict(list)
    for family in dict.fromkeys(pair.family for pair in scene.silent):
        for name in _ends(scene.silent):
            evidence = scene.evidence.get(name)
            devices = (scene.device(name, family), scene.facts[name].pod_bridge)
            found = (evidence.no_forwarding(family, d) for d in devices) if evidence else ()
            if setting := next(filter(None, found), ""):
                names[family, setting].append(name)
    for (family, setting), those in names.items():
        alone = those[0] if len(those) == 1 else ""
        pairs = dict.fromkeys(pair for name in those for pair in scene.silent_through(name, family))
        yield Cause(
            alone,
            f"{listed(those)} {'does' if alone else 'do'} not forward IPv{family}: {setting} is 0",
            set_sysctl(alone or "each of them", setting, 1),
            tuple(pairs),
        )


def pod_causes(survey: Survey, pods: Sequence[RealPod]) -> list[Cause]:
    """Missing pod bridges, which cut pods off even where the routes to them are in sync."""
    causes = []
    for worker in dict.fromkeys(pod.worker for pod in pods):
        facts = survey.facts[worker]
        if facts.bridgeless:
            words = f"{worker}: pod bridge {facts.pod_bridge} is missing, its pods are cut off"
            remedy = f"restart the pods of {worker}: the first one creates the bridge again"
            causes.append(Cause(worker, words, remedy, ()))
    return causes
