"""The pod CIDRs named in the configuration of kubelet and CNI on a machine."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
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
    bridge: str = ""  # empty: it names none
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
    """What the first valid configuration says, in name order: container runtimes use that one.

    containerd (go-cni, opts.go) and CRI-O (ocicni.go) both sort the files with the endings .conf,
    .conflist and .json by name. CRI-O skips invalid ones; with containerd no pod starts then.
    """
    for file, text in sorted(configs.items()):
        if plugins := [p for plugin in _plugins(file, text) for p in _run_by(plugin)]:
            networks = tuple(n for plugin in plugins for n in _subnets(plugin))
            claims = (Claim(shown(file), networks),) if networks else ()
            bridges = (found for p in plugins if (found := _bridge_plugin(p)) is not None)
            return _with_bridge(Cni(claims), next(bridges, None))
    return Cni()


def _with_bridge(cni: Cni, bridge: dict[str, Any] | None) -> Cni:
    """What a network configuration says, with what it says about its bridge if it has one."""
    if bridge is None:
        return cni
    name, mtu = _bridge(bridge.get("bridge")), _mtu(bridge.get("mtu"))
    return replace(cni, bridge=name, mtu=mtu, masquerades=bridge.get("ipMasq") is True)


def _plugins(file: str, text: str) -> list[dict[str, Any]]:
    """The plugins of a network configuration or, in a .conflist, of a list; none if it is invalid.

    As libcni (conf.go) reads them: a list has a name, and each plugin a type.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(config, dict):
        return []
    plugins: object = [config]
    if file.endswith(".conflist"):
        plugins = config.get("plugins") if isinstance(config.get("name"), str) else []
    return plugins if isinstance(plugins, list) and all(map(_is_plugin, plugins)) else []


def _run_by(plugin: dict[str, Any]) -> list[dict[str, Any]]:
    """The plugin itself; for Multus those that it runs.

    Where Multus names none, it runs the cluster's default network, which is the next file.
    """
    if plugin["type"] != "multus":
        return [plugin]
    delegates = plugin.get("delegates")
    if not isinstance(delegates, list):
        return []
    configs = [config for config in delegates if isinstance(config, dict)]
    lists = [config.get("plugins", [config]) for config in configs]
    return [p for plugins in lists if isinstance(plugins, list) for p in plugins if _is_plugin(p)]


def _bridge_plugin(plugin: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration of the bridge plugin, which flannel runs too; None for other plugins."""
    if plugin["type"] == "bridge":
        return plugin
    delegate = plugin.get("delegate", {})
    bridged = isinstance(delegate, dict) and delegate.get("type", "bridge") == "bridge"
    return delegate if plugin["type"] == "flannel" and bridged else None


def _is_plugin(value: object) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind != ""


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
