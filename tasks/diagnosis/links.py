"""Causes that stand in the machines' own settings and links, and those of `misrouted`. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tasks.common.text import listed, typed_on
from tasks.connectivity.real_pods import RealPod
from tasks.connectivity.verdict import Pair
from tasks.facts.survey import Survey

from .firewall import set_for_good
from .model import Cause, Scene
from .routing import route_causes


def settings_causes(scene: Scene) -> list[Cause]:
    """The causes that stand in the machines' own tables and settings."""
    causes = []
    off = set()
    for name in _involved(scene.silent):
        for machine_cause in _links(scene, name):
            causes.append(machine_cause)
            off.add(name)
    causes += route_causes(scene, [name for name in _involved(scene.silent) if name not in off])
    for name in _involved(scene.silent):
        causes += _bridge_off(scene, name)
    causes += _not_forwarding(scene)
    return [cause for cause in causes if cause.pairs]


def _involved(pairs: Iterable[Pair]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in (pair.source, pair.target)))


def _links(scene: Scene, name: str) -> Iterator[Cause]:
    """Its internal network is off: routes over it are gone with it, and are not what to mend."""
    families = dict.fromkeys(pair.family for pair in scene.silent)
    for device in dict.fromkeys(scene.device(name, family) for family in families):
        link = scene.link(name, device)
        if link is None or (link.on and link.carrier):
            continue
        words, remedy = (
            (f"{name}: {device} has no carrier", "check its cable and its port")
            if link.on
            else (f"{name}: {device} is switched off", typed_on(name, f"ip link set {device} up"))
        )
        both = tuple(scene.silent_by_end[name])
        yield Cause(name, words, f"{remedy}; then, from here: fab apply-routes", both)


def _bridge_off(scene: Scene, name: str) -> Iterator[Cause]:
    """A pod bridge that is switched off."""
    bridge = scene.facts[name].pod_bridge
    link = scene.link(name, bridge)
    if link is not None and not link.on:
        words = f"{name}: its pod bridge {bridge} is switched off"
        up = typed_on(name, f"ip link set {bridge} up")
        yield Cause(name, words, up, scene.silent_at(name))


def _not_forwarding(scene: Scene) -> Iterator[Cause]:
    """A setting that keeps machines from forwarding, for all that have it."""
    names: dict[tuple[int, str], list[str]] = defaultdict(list)
    for family in dict.fromkeys(pair.family for pair in scene.silent):
        for name in _involved(scene.silent):
            evidence = scene.evidence.get(name)
            devices = (scene.device(name, family), scene.facts[name].pod_bridge)
            found = (evidence.forwards(family, dev) for dev in devices) if evidence else ()
            if setting := next(filter(None, found), ""):
                names[family, setting].append(name)
    for (family, setting), those in names.items():
        alone = those[0] if len(those) == 1 else ""
        pairs = dict.fromkeys(pair for name in those for pair in scene.silent_at(name, family))
        yield Cause(
            alone,
            f"{listed(those)} {'does' if alone else 'do'} not forward IPv{family}: {setting} is 0",
            typed_on(alone or "each of them", *set_for_good(setting, 1)),
            tuple(pairs),
        )


def pod_causes(survey: Survey, pods: Sequence[RealPod]) -> list[Cause]:
    """Why pods are cut off though the routes to them may be right."""
    causes = []
    for worker in dict.fromkeys(pod.worker for pod in pods):
        facts = survey.facts[worker]
        if facts.pod_bridge not in facts.bridges:
            words = f"{worker}: its pod bridge {facts.pod_bridge} is missing, its pods are cut off"
            remedy = f"restart the pods of {worker}: the first one makes it again"
            causes.append(Cause(worker, words, remedy, ()))
    return causes
