"""Causes that stand in the machines' own settings and links, and those of `misrouted`. Pure."""

from collections.abc import Iterable, Iterator

from .diagnosis import SYSCTLS, Cause, Scene
from .misrouted import route_causes
from .pairs import Pair


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
        causes += _switched_off(scene, name)
    return [cause for cause in causes if cause.pairs]


def _involved(pairs: Iterable[Pair]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in (pair.source, pair.target)))


def _links(scene: Scene, name: str) -> Iterator[Cause]:
    """Its internal network is off: routes over it are gone with it, and are not what to mend."""
    evidence = scene.evidence.get(name)
    families = dict.fromkeys(pair.family for pair in scene.silent)
    for device in dict.fromkeys(scene.device(name, family) for family in families):
        link = evidence.links.get(device) if evidence else None
        if link is None or (link.on and link.carrier):
            continue
        words, remedy = (
            (f"{name}: {device} has no carrier", "check its cable and its port")
            if link.on
            else (f"{name}: {device} is switched off", f"there: ip link set {device} up")
        )
        both = [pair for pair in scene.silent if name in (pair.source, pair.target)]
        yield Cause(name, words, f"{remedy}; then fab apply-routes", tuple(both))


def _switched_off(scene: Scene, name: str) -> Iterator[Cause]:
    """What keeps a machine from forwarding at all: its settings, its bridge."""
    evidence = scene.evidence.get(name)
    if evidence is None:
        return
    bridge = scene.facts[name].pod_bridge
    link = evidence.links.get(bridge)
    if link is not None and not link.on:
        words = f"{name}: its pod bridge {bridge} is switched off"
        up = f"there: ip link set {bridge} up"
        yield Cause(name, words, up, scene.silent_at(name))
    for family in dict.fromkeys(pair.family for pair in scene.silent):
        found = (evidence.forwards(family, dev) for dev in (scene.device(name, family), bridge))
        setting = next(filter(None, found), "")
        if setting:
            words = f"{name} does not forward IPv{family}: {setting} is 0"
            on = f"there: {setting} = 1 in {SYSCTLS}, then sysctl --system"
            yield Cause(name, words, on, scene.silent_at(name, family))
