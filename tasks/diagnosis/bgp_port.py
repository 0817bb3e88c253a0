"""Why two machines do not reach each other's port of BGP: what their firewalls do with it. Pure.

Either machine may begin the connection, so packets are lost only if both ways are closed.
"""

from collections.abc import Iterator

from tasks.inventory.model import Bgp

from .condition import Packet
from .firewall import Drop
from .model import Scene
from .walk import judge

_HOOKS = {
    True: frozenset({"output", "postrouting"}),  # of what a machine sends itself
    False: frozenset({"prerouting", "input"}),
}


def port_drops(
    scene: Scene, bgp: Bgp, ends: tuple[str, str], family: int
) -> list[tuple[str, Drop]]:
    """The machines and rules that close the port both ways; none if one way is open."""
    ways = [
        next(_drops(scene, bgp, caller, called, family), None)
        for caller, called in (ends, ends[::-1])
    ]
    return list(dict.fromkeys(way for way in ways if way)) if all(ways) else []


def _drops(
    scene: Scene, bgp: Bgp, caller: str, called: str, family: int
) -> Iterator[tuple[str, Drop]]:
    """What surely drops the packets that begin a connection, or the answers to them."""
    for sender, receiver, answer in ((caller, called, False), (called, caller, True)):
        for name in (sender, receiver):
            evidence = scene.evidence.get(name)
            firewall = evidence.firewalls.get(family) if evidence else None
            if firewall is None:
                continue
            link = scene.device(name, family) or None
            sends = name == sender
            packet = Packet(
                {
                    "source": str(scene.cluster.machine(sender).internal_ip(family)),
                    "target": str(scene.cluster.machine(receiver).internal_ip(family)),
                    "iif": "" if sends else link,
                    "oif": link if sends else "",
                    "protocol": "tcp",
                    "nfproto": f"ipv{family}",
                    "ether": "ip" if family == 4 else "ip6",
                    "pkttype": None if sends else "host",
                    "fib": "unicast" if sends else "local",
                    "type": "",
                    "sport": str(bgp.port) if answer else None,
                    "dport": None if answer else str(bgp.port),
                    "state": "established" if answer else "new",
                },
                _HOOKS[sends],
            )
            for drop in judge(firewall, packet).certain:
                if drop.packets != 0:  # one that counts has counted them
                    yield name, drop
