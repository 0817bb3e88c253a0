"""Causes that concern packets of full size: the MTU of the path. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tasks.common.text import listed
from tasks.connectivity.verdict import Pair

from .model import Cause, Scene
from .remedy import Remedy
from .trials import Trials


def mtu_causes(scene: Scene, tried: Trials) -> list[Cause]:
    """Why only small packets arrive: which link has an MTU that is too small for the pods."""
    narrow: dict[tuple[str, str, int], list[Pair]] = defaultdict(list)
    between: dict[int, list[Pair]] = defaultdict(list)
    cached = dict.fromkeys(_cached(scene))
    for pair in scene.large:
        if pair in cached:
            continue
        link = next(_narrow_links(scene, pair), None)
        if link is not None:
            narrow[link].append(pair)
        else:
            between[tried.largest.get(pair, 0)].append(pair)
    causes = [
        Cause(
            name,
            f"{name}: {device} has an MTU of {mtu} bytes, pods send larger packets",
            _raise_mtu(scene, name, device, mtu),
            tuple(pairs),
        )
        for (name, device, mtu), pairs in narrow.items()
    ]
    if cached:
        sources = listed(pair.source for pair in cached)
        words = f"{sources}: the cached path MTU to some pods is still too small"
        flush = Remedy("each of them, or wait ten minutes", ("ip route flush cache",))
        causes.append(Cause("", words, flush, tuple(cached)))
    for size, pairs in between.items():
        ends = Counter(name for pair in pairs for name in (pair.source, pair.target))
        common = [name for name, number in ends.items() if number == len(pairs)]
        name = common[0] if len(common) == 1 or len(pairs) == 1 else ""
        where = f"between {name} and the others" if name else "between the machines"
        if len(pairs) == 1 or len(common) > 1:
            where = f"between {' and '.join(common)}"
        words = f"{f'packets above {size} bytes' if size else 'large packets'} are lost {where}"
        causes.append(Cause(name, words, _lower_mtu(size), tuple(pairs)))
    return causes


def _cached(scene: Scene) -> tuple[Pair, ...]:
    """Pairs from a machine that fail only because its kernel has cached a smaller path MTU.

    Packets of full size from the same machine's pods arrive there. The kernel caches a path MTU
    for ten minutes (ip-sysctl, route/mtu_expires); the network namespace of a new probe has an
    empty cache.
    """
    proven = {(p.source, p.target, p.family) for p in scene.pairs if p.from_pod and p.ok}
    large = (p for p in scene.large if not p.from_pod)
    return tuple(p for p in large if (p.source, p.target, p.family) in proven)


def _narrow_links(scene: Scene, pair: Pair) -> Iterator[tuple[str, str, int]]:
    """The links of a pair's machines that are too small for its packets.

    Yields machine, device and MTU in bytes.
    """
    for name in (pair.source, pair.target):
        for device in (scene.device(name, pair.family), scene.facts[name].pod_bridge):
            link = scene.link(name, device)
            if link is not None and link.mtu < scene.facts[pair.source].pod_mtu:
                yield name, device, link.mtu


def _raise_mtu(scene: Scene, name: str, device: str, mtu: int) -> Remedy | str:
    """What to do about a small link. Only a pod bridge can be given any MTU."""
    if device != scene.facts[name].pod_bridge:
        return _lower_mtu(mtu)
    others = max(facts.pod_mtu for facts in scene.facts.values())
    config = 'write the same "mtu" into the CNI config of every worker'
    return Remedy(name, (f"ip link set {device} mtu {others}",), config)


def _lower_mtu(size: int) -> str:
    """What to do about a path that passes packets of `size` bytes at most; 0: not known."""
    return (
        f'set "mtu": {size or 1280} in the CNI config of every worker, or a larger MTU on that'
        " path; then restart the pods"
    )
