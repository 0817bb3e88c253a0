"""The pod CIDRs named in the configuration of kubelet and CNI on a machine."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tasks.common.values import Network, device, network, shown

DEFAULT_BRIDGE = "cni0"  # the bridge plugin's own default


@dataclass(frozen=True)
class Claim:
    """Pod CIDRs that a place on a machine, such as a file, names."""

    place: str
    networks: tuple[Network, ...]


@dataclass(frozen=True)
class Cni:
    """What the CNI network configuration says about the pod network."""

    claims: tuple[Claim, ...] = ()
    bridge: str = DEFAULT_BRIDGE
    mtu: int = 0  # bytes; 0: not named
    masquerades: bool = False  # ipMasq


def read_kubelet(file: str, lines: list[str]) -> list[Claim]:
    """The podCIDR of a KubeletConfiguration. `lines`: the text after the key."""
    words = " ".join(line.partition("#")[0] for line in lines).replace(",", " ").split()
    networks = _networks(word.strip("\"'") for word in words)
    return [Claim(shown(file), tuple(networks))] if networks else []


def _networks(words: Iterable[object]) -> list[Network]:
    """The words that are networks, without others such as null, ${POD_CIDR} and usePodCidr."""
    networks = []
    for word in words:
        if isinstance(word, str):
            with suppress(ValueError):
                networks.append(network(word))
    return networks


def read_cni(configs: Mapping[str, str]) -> Cni:
    """The first configuration that names pod CIDRs, in name order as the runtime reads them."""
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
        return []  # the container runtime ignores such a file too
    if not isinstance(config, dict):
        return []
    plugins = config.get("plugins", [config])
    return [p for p in plugins if isinstance(p, dict)] if isinstance(plugins, list) else []


def _subnets(plugin: dict[str, Any]) -> list[Network]:
    """The subnets of a host-local ipam section, in its older and newer form."""
    ipam = plugin.get("ipam")
    if not isinstance(ipam, dict) or ipam.get("type") != "host-local":
        return []
    sets = ipam.get("ranges")
    groups = [group for group in sets if isinstance(group, list)] if isinstance(sets, list) else []
    entries = [ipam, *(entry for group in groups for entry in group if isinstance(entry, dict))]
    return _networks(entry.get("subnet") for entry in entries)


def _bridge(value: object) -> str:
    """The bridge of a CNI config; the plugin's default where the value is no name of a link."""
    with suppress(ValueError):
        return device(value) if isinstance(value, str) else DEFAULT_BRIDGE
    return DEFAULT_BRIDGE


def _mtu(value: object) -> int:
    """The MTU of a CNI config in bytes; 0, the kernel's choice, where it is none or invalid."""
    return value if isinstance(value, int) and 576 <= value <= 65536 else 0
