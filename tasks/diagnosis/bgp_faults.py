"""What keeps two machines from having a session of BGP: the machine and its fault, in words. Pure.

BIRD says `Connect` alike if its neighbor does not run, has another password, or has its port
closed. So both ends are asked, and compared.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.bgp.bird_conf import RUN, bird_conf
from tasks.inventory.model import Bgp

from .bgp_port import port_drops
from .bgp_sessions import Down, End
from .model import Scene
from .remedy import Remedy, accept_bgp

APPLY = "fab apply-routes"
_BIRDC = f"birdc -s {RUN}/bird.ctl"
_LATE = "Hold timer expired"  # BIRD heard nothing for so long; it does not say why


class Fault(NamedTuple):
    """What is wrong with BGP on some machines."""

    words: str  # after the names of the machines
    remedy: Remedy | str = APPLY


def bird_fault(end: End) -> Fault | None:
    """Why a machine's BIRD does not run; None if it does."""
    bird = end.facts.bird
    if not bird.version:
        return Fault("BIRD is not installed", f"{APPLY} --install")
    if not bird.conf:
        return Fault("BIRD has no configuration")
    if bird.running:
        return None
    if end.bird.hangs:
        kill = (f"kill -9 {end.bird.hangs}",)
        return Fault("BIRD hangs", Remedy(end.name, kill, f"then, from here: {APPLY}"))
    if end.bird.refuses:
        return Fault(f"BIRD refuses its configuration: {end.bird.refuses}")
    return Fault("BIRD does not run")


def pair_faults(
    scene: Scene, bgp: Bgp, pair: Down, passwords: Mapping[str, int]
) -> list[tuple[str, Fault]]:
    """What keeps two BIRDs that run from having a session: the machines and their faults."""
    ends = (pair.one, pair.other)
    for found in (
        [
            (e.name, Fault("BIRD has an older configuration, without some sessions"))
            for e in ends
            if e.state is None
        ],
        [
            (e.name, Fault("BIRD has disabled sessions", Remedy(e.name, (f"{_BIRDC} enable all",))))
            for e in ends
            if e.state is not None and e.state.state == "down"
        ],
        _password_faults(ends, passwords),
        _as_faults(scene, bgp, ends),
        _router_id_faults(ends),
        _ttl_faults(scene, bgp, ends),
        _firewall_faults(scene, bgp, pair),
        [(e.name, _as_bird_says(e)) for e in ends if e.state and _tells(e.state.why)],
    ):
        if found:
            return found
    return []


def _password_faults(ends: Sequence[End], passwords: Mapping[str, int]) -> list[tuple[str, Fault]]:
    """The machines with the rarer of two passwords: of which only checksums are known."""
    counts = [passwords.get(end.facts.bird.password, 0) for end in ends]
    if ends[0].facts.bird.password == ends[1].facts.bird.password:
        return []
    fault = Fault("another password for BGP than on other machines")
    return [(e.name, fault) for e, count in zip(ends, counts, strict=True) if count == min(counts)]


def _as_faults(scene: Scene, bgp: Bgp, ends: Sequence[End]) -> list[tuple[str, Fault]]:
    """The machines whose BIRD has another AS number than hosts.toml, where the ends disagree."""
    one, other = (end.details for end in ends)
    if {one.local_as, other.local_as} == {0}:
        return []
    if (one.local_as, one.remote_as) == (other.remote_as, other.local_as):
        return []
    return [
        (
            end.name,
            Fault(f"BIRD has AS {wrong}, and hosts.toml {bgp.as_number}", _anew(scene, bgp, end)),
        )
        for end in ends
        for wrong in dict.fromkeys((end.details.local_as, end.details.remote_as))
        if wrong not in (0, bgp.as_number)
    ]


def _router_id_faults(ends: Sequence[End]) -> list[tuple[str, Fault]]:
    one, other = (end.bird.router_id for end in ends)
    same = Fault(f"BIRD has the same router ID there, {one}")
    return [(end.name, same) for end in ends] if one and one == other else []


def _ttl_faults(scene: Scene, bgp: Bgp, ends: Sequence[End]) -> list[tuple[str, Fault]]:
    """The machine whose BIRD has no TTL security, where the other one's has."""
    off = [end for end in ends if "ttl security on;" not in end.facts.bird.conf]
    if len(off) != 1:
        return []
    return [(off[0].name, Fault("BIRD has TTL security off", _anew(scene, bgp, off[0])))]


def _firewall_faults(scene: Scene, bgp: Bgp, pair: Down) -> list[tuple[str, Fault]]:
    """The machines whose firewalls close the port both ways."""
    local, addresses = pair.one.session.local, pair.one.facts.addresses
    nodes = [n for n in scene.cluster.node_networks if local in n]
    nodes = nodes or [interface.network for _, interface in addresses if interface.ip == local]
    return [
        (
            name,
            Fault(
                f"its firewall drops BGP, TCP port {bgp.port}: {drop.rule}",
                accept_bgp(drop, nodes, bgp.port, name),
            ),
        )
        for name, drop in port_drops(scene, bgp, pair.names, local.version)
    ]


def _tells(why: str) -> bool:
    """Whether BIRD's last error says why there is no session now."""
    return why.startswith("BGP Error:") and _LATE not in why


def _as_bird_says(end: End) -> Fault:
    """A session that BIRD itself says enough about, in its own words."""
    why = end.state.why if end.state else ""
    return Fault(f"no session with {end.session.neighbor}, and BIRD says {why}", look_at(end.name))


def look_at(name: str) -> Remedy:
    """Where BIRD on a machine says more."""
    return Remedy(
        f"{name}, to find out why", (f"{_BIRDC} show protocols all", "journalctl -t bird")
    )


def _anew(scene: Scene, bgp: Bgp, end: End) -> Remedy | str:
    """How BIRD gets the configuration that it should have."""
    should = bird_conf(scene.cluster, bgp, scene.cluster.machine(end.name))
    if end.facts.bird.conf != should:
        return APPLY
    return Remedy(end.name, (f"{_BIRDC} configure",))
