"""Faults on a path: what stopped the packets there, in words, with a remedy. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tasks.connectivity.verdict import Pair
from tasks.facts.providers import PROVIDERS, provider_of

from .firewall import Drop
from .model import Scene
from .remedy import Remedy, accept_packets, set_sysctl


class FaultKind(Enum):
    """What stopped the packets."""

    FIREWALL = "a firewall on a machine"
    UNKNOWN = "a firewall on a machine, or what is behind it"
    REVERSE_PATH = "strict reverse-path filtering on a machine"
    POD_SIDE = "something between a machine and its pods"
    LINK = "the link between machines: neighbours do not answer there"
    NETWORK = "the network between machines"
    BGP = "the network between machines, for packets of BGP"
    NONE = "nothing: the pair answered when it was pinged alone"


class Direction(Enum):
    """Which packets the network loses, seen from one machine."""

    FROM = "packets from {name}'s pods to {others} are lost on the network between them"
    TO = "packets from {others} to {name}'s pods are lost on the network between them"
    BOTH = "packets between the pods of {name} and {others} are lost on the network"


@dataclass(frozen=True)
class PathFault:
    """Where on its path a packet was last seen, and what stopped it there."""

    kind: FaultKind
    machine: str = ""  # at it, or on the network around it; empty: everywhere
    other: str = ""  # set where only packets between the two machines are stopped
    direction: Direction = Direction.FROM  # of what the network loses, seen from `machine`
    drop: Drop | None = None  # the firewall's rule, where it is known

    def concerns(self, one: str, other: str) -> bool:
        """Whether this fault stops packets between two machines."""
        ends = {one, other}
        return not self.machine or (self.machine in ends and (not self.other or self.other in ends))


def explain(scene: Scene, fault: PathFault, pairs: Sequence[Pair]) -> tuple[str, Remedy | str]:
    """A fault in one line, and its remedy."""
    match fault.kind:
        case FaultKind.FIREWALL | FaultKind.UNKNOWN:
            blame = _firewall if fault.kind == FaultKind.FIREWALL else _unknown
            return blame(scene, fault, pairs)
        case FaultKind.REVERSE_PATH | FaultKind.POD_SIDE:
            behind = _reverse_path if fault.kind == FaultKind.REVERSE_PATH else _pod_side
            return behind(scene, fault.machine)
        case FaultKind.LINK:
            return _link(scene, fault, pairs[0].family)
        case FaultKind.NETWORK:
            return _network(scene, fault, pairs)
        case FaultKind.BGP:
            return _bgp(scene, fault)
        case FaultKind.NONE:
            words = "answered when pinged alone: packets are lost only sometimes"
            return words, "run fab verify again"


def _firewall(scene: Scene, fault: PathFault, pairs: Sequence[Pair]) -> tuple[str, Remedy | str]:
    drop = fault.drop
    remedy = accept_packets(drop, scene.pod_networks(pairs), fault.machine)
    if drop is None:
        return f"{fault.machine}'s firewall rejects packets for pods", remedy
    owner = f" (set by {' or '.join(drop.owners)})" if drop.owners else ""
    return f"{fault.machine}'s firewall drops packets for pods: {drop.rule}{owner}", remedy


def _unknown(scene: Scene, fault: PathFault, pairs: Sequence[Pair]) -> tuple[str, str]:
    """Packets were lost at a machine or behind it. Say what to look at."""
    name = fault.machine
    rule = f"cannot say whether this rule drops them: {fault.drop.rule}" if fault.drop else ""
    words = f"packets for pods are lost at {name} or on the network, and verify "
    unread = f"cannot say where, as not all of {name}'s firewall could be read"
    device = scene.device(name, pairs[0].family) or "any"
    pods = " or ".join(f"net {network}" for network in scene.pod_networks(pairs))
    look = f"run fab verify again and see on {name} whether they pass: tcpdump -ni {device} {pods}"
    return words + (rule or unread), look


def _reverse_path(scene: Scene, name: str) -> tuple[str, Remedy]:
    devices = [scene.device(name, 4), scene.facts[name].pod_bridge]
    strict = (scene.evidence[name].strict(dev) for dev in devices if name in scene.evidence)
    setting = next(filter(None, strict), "net.ipv4.conf.all.rp_filter")
    words = f"strict reverse-path filtering on {name} drops packets: {setting} is 1"
    return words, set_sysctl(name, setting, 2)


def _pod_side(scene: Scene, name: str) -> tuple[str, Remedy]:
    bridge = scene.facts[name].pod_bridge
    ports = f"ip -details link show{bridge and f' master {bridge}'}"
    look = (ports, "bridge vlan", "nft list ruleset")
    return f"packets reach {name}, but not its pods", Remedy(f"{name}, to find out why", look)


def _link(scene: Scene, fault: PathFault, family: int) -> tuple[str, str]:
    name = fault.machine
    if not name:
        return (
            "the machines do not reach each other on the link of their internal IPs",
            "put them into one layer 2 network: the same VLAN, the same private network",
        )
    others = fault.other or "the others"
    return (
        f"{name} and {others} do not reach each other on the link of their internal IPs",
        f"check that {scene.device(name, family)} of {name} is in the same VLAN or private network"
        f" as {others}",
    )


def _bgp(scene: Scene, fault: PathFault) -> tuple[str, str]:
    port = f"TCP port {scene.cluster.bgp.port}" if scene.cluster.bgp else "the port"
    ends = f"between {fault.machine} and {fault.other or 'the others'}"
    if not fault.machine:
        ends = "between the machines"
    return (
        f"BGP gets no answer {ends}: {port} is closed on the network",
        f"allow {port} {ends} on that network: security groups, firewalls",
    )


def _network(scene: Scene, fault: PathFault, pairs: Sequence[Pair]) -> tuple[str, str]:
    name = fault.machine
    words = "packets between pods are lost on the network between the machines"
    if name:
        words = fault.direction.value.format(name=name, others=fault.other or "the others")
    general = "allow {pods} on that network: security groups, anti-spoofing, port security"
    pods = ", ".join(map(str, scene.pod_networks(pairs)))
    if scene.routed is not None:
        unread = (
            f"see whether its table has the routes, which could not be read: {scene.routed.unread}"
        )
        return words, unread if scene.routed.table is None else general.format(pods=pods)
    providers = {provider_of(scene.facts[m]) for m in ([name] if name else scene.facts)} - {""}
    notes = [PROVIDERS[provider].notes[0] for provider in providers]
    return words, (notes[0] if len(notes) == 1 else general).format(pods=pods)
