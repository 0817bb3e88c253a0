"""Causes that concern packets of full size: the MTU on the way. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tasks.common.text import listed, typed_on
from tasks.connectivity.verdict import Pair

from .isolate import Trials
from .model import Cause, Scene


def mtu_causes(scene: Scene, tried: Trials) -> list[Cause]:
    """Why only small packets come through: which link is too narrow for what pods send."""
    narrow: dict[tuple[str, str, int], list[Pair]] = defaultdict(list)
    between: dict[int, list[Pair]] = defaultdict(list)
    remembered = dict.fromkeys(_remembered(scene))
    for pair in scene.large:
        if pair in remembered:
            continue
        link = next(_narrow_links(scene, pair), None)
        if link is not None:
            narrow[link].append(pair)
        else:
            between[tried.largest.get(pair, 0)].append(pair)
    causes = [
        Cause(
            name,
            f"{name}: {device} carries {mtu} bytes, pods send more",
            _wider(scene, name, device, mtu),
            tuple(pairs),
        )
        for (name, device, mtu), pairs in narrow.items()
    ]
    if remembered:
        sources = listed(pair.source for pair in remembered)
        words = f"{sources}: the smaller MTU of a while ago is still taken for some ways to pods"
        forget = typed_on("each of them, or wait ten minutes", "ip route flush cache")
        causes.append(Cause("", words, forget, tuple(remembered)))
    for size, pairs in between.items():
        ends = Counter(name for pair in pairs for name in (pair.source, pair.target))
        common = [name for name, number in ends.items() if number == len(pairs)]
        name = common[0] if len(common) == 1 or len(pairs) == 1 else ""
        where = f"between {name} and the others" if name else "between the machines"
        if len(pairs) == 1 or len(common) > 1:
            where = f"between {' and '.join(common)}"
        words = f"{f'packets above {size} bytes' if size else 'large packets'} get lost {where}"
        causes.append(Cause(name, words, _smaller(size), tuple(pairs)))
    return causes


def _remembered(scene: Scene) -> tuple[Pair, ...]:
    """Ways from machines that pods' packets of full size go: the kernel keeps what it has learnt.

    An MTU of a path for ten minutes (ip-sysctl, route/mtu_expires); a pod's network of its own,
    as a new probe's, knows nothing of it.
    """
    proven = {(p.source, p.target, p.family) for p in scene.pairs if p.from_pod and p.ok}
    large = (p for p in scene.large if not p.from_pod)
    return tuple(p for p in large if (p.source, p.target, p.family) in proven)


def _narrow_links(scene: Scene, pair: Pair) -> Iterator[tuple[str, str, int]]:
    """The links on a pair's way that carry less than its packets of full size, and how much."""
    for name in (pair.source, pair.target):
        for device in (scene.device(name, pair.family), scene.facts[name].pod_bridge):
            link = scene.link(name, device)
            if link is not None and link.mtu < scene.facts[pair.source].pod_mtu:
                yield name, device, link.mtu


def _wider(scene: Scene, name: str, device: str, mtu: int) -> str:
    """What to do about a narrow link: a pod bridge is as wide as people make it."""
    if device != scene.facts[name].pod_bridge:
        return _smaller(mtu)
    others = max(facts.pod_mtu for facts in scene.facts.values())
    config = 'write the same "mtu" into the CNI config of every worker'
    return typed_on(name, f"ip link set {device} mtu {others}", config)


def _smaller(size: int) -> str:
    return (
        f'"mtu": {size or 1280} in the CNI config of every worker, or a larger MTU on that way;'
        " then restart the pods"
    )
