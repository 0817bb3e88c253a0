"""What a plan changes where pod CIDRs are exchanged by BGP, and on the way there and back. Pure.

A machine keeps its static routes until the routes of BGP stand on every machine: they win, because
their metric is lower. On the way back the static routes come first.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from tasks.bgp.bird import LEAST, is_of_bgp
from tasks.bgp.bird_conf import METRIC, bird_conf, sessions_restart
from tasks.bgp.password import checksum
from tasks.bgp.sessions import Relation, reflectors, sessions
from tasks.common.text import listed
from tasks.common.values import Address, Network
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster, Machine
from tasks.iproute.route import Hop, Route

from .model import BirdChange, Change

_PROGRAMS = {  # that speak BGP, by the name of their process
    "bird": "another BIRD (Calico's, or the distribution's bird.service)",
    "bird6": "another BIRD",
    "bgpd": "FRR (bgpd)",
    "kube-router": "kube-router",
    "gobgpd": "GoBGP",
    "cilium-agent": "Cilium",
    "speaker": "MetalLB (speaker)",
}
_EVERYWHERE = ("0.0.0.0", "[::]", "*")  # noqa: S104  # how ss(8) prints all addresses


def bgp_route(prefix: Network, via: Address, dev: str) -> Route:
    """The route to a worker's pod CIDR that comes by BGP."""
    return Route(prefix, (Hop(via, dev),), protocol="bird", metric=METRIC)


def bird_removal(facts: Facts) -> BirdChange | None:
    """The end of this tool's BIRD on a machine, and of its routes; None if none is there."""
    left = facts.bird.there or any(map(is_of_bgp, facts.routes))
    change = BirdChange("", facts.bird.conf, version=facts.bird.version, keeps=False)
    return change if left else None


@dataclass(frozen=True)
class BgpRun:
    """What a run makes of BGP on the machines of a cluster."""

    cluster: Cluster
    names: Collection[str]  # of the machines that the run may change
    whole: bool  # whether these are all machines of the cluster
    restarts: bool = False  # whether sessions that exist begin anew on one of them
    speaking: Collection[str] = ()  # the names of all machines that should speak BGP by now

    def comes(self, one: Machine, other: Machine) -> bool:
        """Whether routes between two machines come by BGP after the run."""
        bgp = self.cluster.bgp
        if bgp is None or one.name not in self.names or other.name not in self.names:
            return False
        chosen = reflectors(self.cluster, bgp)
        direct = not chosen or one.name in chosen or other.name in chosen
        return direct or any(name in self.names for name in chosen)

    def neighbors(self, machine: Machine) -> dict[Address, str]:
        """The names of those that should speak with a machine by now, by address."""
        bgp = self.cluster.bgp
        return {
            s.remote: s.neighbor
            for s in (sessions(self.cluster, bgp, machine) if bgp else ())
            if s.relation is Relation.ROUTER or s.neighbor in self.speaking
        }

    def bird_change(self, machine: Machine, facts: Facts) -> BirdChange | None:
        """What becomes of this tool's BIRD on a machine; None if it stays as it is.

        It goes only with all others: machines that are not changed may need what it announces.
        """
        bird, bgp = facts.bird, self.cluster.bgp
        if bgp is None:
            ended = bird_removal(facts)
            return replace(ended, keeps=True) if ended and self.whole else None
        stays = self.cluster.persist == "auto"
        neighbors = (session.neighbor for session in sessions(self.cluster, bgp, machine))
        change = BirdChange(
            bird_conf(self.cluster, bgp, machine),
            bird.conf,
            bgp.password,
            at_boot=stays and bird.systemd,
            version=bird.version,
            sessions=tuple(dict.fromkeys(neighbors)),
            lost_at_boot=stays and not bird.systemd,
        )
        as_it_is = (
            change.conf == bird.conf
            and bird.running
            and bird.at_boot == ("yes" if change.at_boot else "")
            and bird.password == (checksum(bgp.password) if bgp.password else "")
        )
        return None if as_it_is else change


def bgp_run(cluster: Cluster, facts: Mapping[str, Facts], limit: str) -> BgpRun:
    """The run of a plan. `limit`: the one machine that it may change; empty: all of `facts`."""
    machines = [m for m in cluster.machines if m.name in facts and limit in ("", m.name)]
    names = frozenset(machine.name for machine in machines)
    run = BgpRun(cluster, names, len(names) == len(cluster.machines))
    restarts = any(
        change is not None
        and bool(change.conf)
        and facts[m.name].bird.running
        and (
            sessions_restart(change.before, change.conf)
            or bool(change.password and checksum(change.password) != facts[m.name].bird.password)
        )
        for m in machines
        if (change := run.bird_change(m, facts[m.name]))
    )
    speaking = frozenset(name for name, f in facts.items() if cluster.bgp and f.bird.there)
    return BgpRun(cluster, names, run.whole, restarts, speaking)


def handed_over(change: Change | None, in_sync: Iterable[Route]) -> list[Change]:
    """What is deleted at a prefix once its route of BGP stands: our static routes, and others.

    `change`, `in_sync`: what would be done, and what would stay, for a static route.
    """
    taken = [*(change.take if change else ()), *(r for r in in_sync if r.owned)]
    return [Change(None, (route,)) for route in taken]


def same_metric(expected: Route, there: Iterable[Route]) -> list[str]:
    """Why a route cannot come by BGP: the kernel has one route of a metric, and it is another's."""
    return [
        f"the route {route} has the metric that BIRD's routes get: delete it, or give it another"
        for route in there
        if route.key == expected.key
    ]


def bird_refusals(cluster: Cluster, machine: Machine, facts: Facts, install: bool) -> list[str]:
    """Why BIRD cannot run on a machine, one line for each reason."""
    bgp, bird = cluster.bgp, facts.bird
    if bgp is None:
        return []
    refusals = []
    foreign = [route for route in facts.routes if is_of_bgp(route) and not bird.there]
    if foreign:
        refusals.append(
            f"another BIRD has the metric of this tool's ({METRIC}), as in the route {foreign[0]}:"
            " give it another metric, or delete what is left of it"
        )
    if not bird.version and not install:
        refusals.append(
            "BIRD is not installed there: --install brings it (the package bird2, or bird), and"
            " masks its own service first"
        )
    elif bird.version and not bird.usable:
        least = ".".join(map(str, LEAST))
        refusals.append(
            f"BIRD {bird.version} is there, and {least} or newer is needed: install bird2"
        )
    own = {f"[{ip}]" if ip.version == 6 else str(ip) for ip in machine.internal_ips}
    names = dict.fromkeys(
        _PROGRAMS.get(heard.program, heard.program or "a program that ss does not name")
        for heard in bird.listeners
        if heard.address.partition("%")[0] in own or heard.address in _EVERYWHERE
    )
    if names:
        refusals.append(
            f"port {bgp.port}, which BGP needs, is held there by {listed(names)}: end it, let it"
            " exchange the pod CIDRs, or set another port in [bgp]"
        )
    return refusals
