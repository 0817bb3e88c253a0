"""The pod CIDRs that the kubelet's and the CNI plugins' files on a machine name."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tasks.common.values import Network, device, network, shown

DEFAULT_BRIDGE = "cni0"  # as the bridge plugin calls it where nothing names one


@dataclass(frozen=True)
class Claim:
    """Pod CIDRs that some place on the machine names."""

    place: str
    networks: tuple[Network, ...]


@dataclass(frozen=True)
class Cni:
    """What the CNI network configuration says of the network of pods."""

    claims: tuple[Claim, ...] = ()
    bridge: str = DEFAULT_BRIDGE
    mtu: int = 0  # bytes; 0: not said
    masquerades: bool = False  # ipMasq


def read_kubelet(file: str, lines: list[str]) -> list[Claim]:
    """The podCIDR of a KubeletConfiguration: what stands after the key."""
    words = " ".join(line.partition("#")[0] for line in lines).replace(",", " ").split()
    networks = _networks(word.strip("\"'") for word in words)
    return [Claim(shown(file), tuple(networks))] if networks else []


def _networks(words: Iterable[object]) -> list[Network]:
    """Those of the words that are one: null, ${POD_CIDR} and usePodCidr stand for nothing here."""
    networks = []
    for word in words:
        if isinstance(word, str):
            with suppress(ValueError):
                networks.append(network(word))
    return networks


def read_cni(configs: Mapping[str, str]) -> Cni:
    """The first configuration in name order, as the runtime takes it, that names pod CIDRs."""
    for file, text in sorted(configs.items()):
        plugins = _plugins(text)
        networks = tuple(n for plugin in plugins for n in _subnets(plugin))
        if networks:
            bridge = next((p for p in plugins if p.get("type") == "bridge"), {})
            return Cni(
                (Claim(shown(file), networks),),
                _bridge(bridge.get("bridge")),
                _mtu(bridge.get("mtu")),
                bridge.get("ipMasq") is True,
            )
    return Cni()


def _plugins(text: str) -> list[dict[str, Any]]:
    """The plugins of a CNI network configuration or list (CNI spec 0.3.1 to 1.0)."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return []  # not ours to judge: the container runtime passes over it too
    if not isinstance(config, dict):
        return []
    plugins = config.get("plugins", [config])
    return [p for p in plugins if isinstance(p, dict)] if isinstance(plugins, list) else []


def _subnets(plugin: dict[str, Any]) -> list[Network]:
    """The subnets of a host-local ipam section, in its older and its newer form."""
    ipam = plugin.get("ipam")
    if not isinstance(ipam, dict) or ipam.get("type") != "host-local":
        return []
    sets = ipam.get("ranges")
    groups = [group for group in sets if isinstance(group, list)] if isinstance(sets, list) else []
    entries = [ipam, *(entry for group in groups for entry in group if isinstance(entry, dict))]
    return _networks(entry.get("subnet") for entry in entries)


def _bridge(value: object) -> str:
    """The bridge of a CNI config; the plugin's own where this is no name of a link."""
    with suppress(ValueError):
        return device(value) if isinstance(value, str) else DEFAULT_BRIDGE
    return DEFAULT_BRIDGE


def _mtu(value: object) -> int:
    """The mtu of a CNI config; 0 there means the kernel's own choice, and so does nonsense."""
    return value if isinstance(value, int) and 576 <= value <= 65536 else 0
