"""What is read, planned and looked into of what one machine says, at any size: by name, as jobs.

tests/test_linear.py counts what they do, tests/bench/growth.py times them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from itertools import permutations
from typing import cast

from invoke import Context

from tasks.connectivity.ping import Target, read_report
from tasks.connectivity.verdict import Pair
from tasks.diagnosis.condition import Packet
from tasks.diagnosis.evidence import read_evidence
from tasks.diagnosis.firewall import read_firewall
from tasks.diagnosis.links import settings_causes
from tasks.diagnosis.model import Scene
from tasks.diagnosis.mtu import mtu_causes
from tasks.diagnosis.path import trial_causes
from tasks.diagnosis.routing import part_causes, unplanned_routes
from tasks.diagnosis.trials import Trials, read_trials
from tasks.diagnosis.walk import judge
from tasks.discovery.merge import Selection, combine
from tasks.discovery.model import Found, Request, internal_ips
from tasks.discovery.sources import ask
from tasks.facts.complete import complete, doubtful_claims
from tasks.facts.model import Facts
from tasks.facts.parse import read
from tasks.facts.pod_cidrs import Claim
from tasks.facts.providers import machine_notes
from tasks.facts.run_order import last_run
from tasks.planning.model import Allowed
from tasks.planning.reconcile import plan_routes
from tasks.planning.rollback import plan_last, plan_rollback
from tasks.reports.plan import dry_run_report, plan_report
from tasks.reports.plan_json import plan_json
from tasks.reports.status import history_report
from tasks.rollout.history import histories
from tasks.ssh.answer import sections
from tasks.ssh.fleet import Fleet

from .builders import DEV, cluster, facts, node, pods, wanted
from .large import answer, iptables_of_services, nft_of_services, routes_inside

Job = Callable[[], object]
OF = cluster(3)

STRAY = f"via {node(9)} dev {DEV} table main proto"


def _owned_elsewhere(n: int) -> list[str]:
    return [f"unicast 10.200.{100 + k // 256}.{k % 256} {STRAY} 214" for k in range(n)]


def _rules(n: int) -> list[str]:
    return [f"100:\tfrom all to 10.200.1.{k % 256} lookup {7 + k}" for k in range(n)]


# The whole answer of worker-0, with so much of one kind in it.
SAID: dict[str, Callable[[int], str]] = {
    "foreign inside": lambda n: answer(0, *routes_inside(1, n, f"{STRAY} static")),
    "owned inside": lambda n: answer(0, *routes_inside(1, n, f"{STRAY} 214")),
    "kernel's inside": lambda n: answer(0, *routes_inside(1, n, f"{STRAY} kernel")),
    "inside its own": lambda n: answer(0, *routes_inside(0, n, f"{STRAY} static")),
    "at one prefix": lambda n: answer(
        0, *(f"unicast {pods(1)} {STRAY} static metric {k}" for k in range(n))
    ),
    "alike": lambda n: answer(0, *[f"unicast {pods(1)} {STRAY} static"] * n),
    "right, at one prefix": lambda n: answer(
        0,
        *(
            f"unicast {pods(1)} via {node(1)} dev {DEV} table main proto static metric {k}"
            for k in range(n)
        ),
    ),
    "stale": lambda n: answer(0, *_owned_elsewhere(n)),
    "outside": lambda n: answer(
        0, *(f"unicast 10.9.{k // 256}.{k % 256} {STRAY} 214" for k in range(n))
    ),
    "rules to one table": lambda n: answer(
        0,
        *(
            f"unicast 10.200.1.{k % 256} via 10.240.0.9 dev {DEV} table 7 metric {k}"
            for k in range(n)
        ),
        rule_4=[f"100:\tfrom all to 10.200.1.{k % 256} lookup 7" for k in range(n)],
    ),
    "rules to tables": lambda n: answer(
        0,
        *(f"unicast 10.200.1.0/24 via 10.240.0.9 dev {DEV} table {7 + k}" for k in range(n)),
        rule_4=_rules(n),
    ),
    "exempting rules": lambda n: answer(
        0,
        rule_4=[
            *(f"100:\tfrom all to 10.200.1.{k % 256} lookup main" for k in range(n)),
            *_rules(n),
        ],
    ),
    "addresses": lambda n: answer(
        0,
        address=[f"2: {DEV}    inet 10.241.{k // 256}.{k % 256}/16 scope global" for k in range(n)],
    ),
    "routed networks": lambda n: answer(
        0,
        *(
            f"unicast 10.9.{k // 256}.{k % 256} via 10.8.{k // 256}.{k % 256} dev {DEV}"
            " table main proto static"
            for k in range(n)
        ),
        address=[f"2: {DEV}    inet 10.241.{k // 256}.{k % 256}/32 scope global" for k in range(n)],
    ),
    "bridges": lambda n: answer(
        0,
        bridge=[f"{k}: br{k}: <BROADCAST> mtu 1500 qdisc" for k in range(9, n + 9)],
        address=[
            f"{k}: br{k}    inet 10.241.{k // 256}.{k % 256}/32 scope global" for k in range(n)
        ],
    ),
    "kept": lambda n: answer(0, kept_4=_owned_elsewhere(n)),
    "kept, and others there": lambda n: answer(
        0,
        *(f"unicast {pods(1)} {STRAY} static metric {k}" for k in range(n)),
        kept_4=[f"unicast {pods(1)} {STRAY} 214 metric {k}" for k in range(n)],
    ),
    "CNI ranges": lambda n: answer(
        0,
        **{
            "cni_/etc/cni/net.d/10.conf": [
                '{"type": "bridge", "ipam": {"type": "host-local", "ranges": [',
                *(f'[{{"subnet": "10.200.0.{k % 256}/32"}}],' for k in range(n)),
                "[]",
                "]}}",
            ]
        },
    ),
    "kubelet's": lambda n: answer(
        0, **{"kubelet_/var/lib/kubelet/config.yaml": [f"podCIDR: {pods(0)}"] * n}
    ),
    "displaced": lambda n: answer(
        0,
        **{
            f"displaced_/run/d/20250101T0{k % 8}_4_{pods(1).replace('/', '-')}_{k}.text": [
                f"unicast {pods(1)} via {node(9)} dev {DEV} table main proto {k}"
            ]
            for k in range(n)
        },
    ),
    "last": lambda n: answer(
        0,
        last=[
            "20250101T000000",
            *(f"put 10.200.1.{k % 256} via {node(1)} dev {DEV} metric {k}" for k in range(n)),
            *(f"took 10.200.2.{k % 256} via {node(1)} dev {DEV} metric {k}" for k in range(n)),
        ],
    ),
    "next hop groups": lambda n: answer(
        0,
        f"unicast {pods(1)} nhid 7 table main proto static",
        *(f" \tnexthop group \\\tnexthop via {node(9)} dev {DEV} weight 1" for _ in range(n)),
    ),
    "files": lambda n: answer(
        0,
        **{
            "file_/etc/network/if-up.d/pod-routes": [
                f"|route add 10.200.{100 + k // 256}.{k % 256} via {node(1)} dev {DEV}"
                for k in range(n)
            ]
        },
    ),
    "networkd's links": lambda n: answer(
        0,
        address=[
            f"{k}: veth{k}    inet 10.241.{k // 256}.{k % 256}/32 scope link" for k in range(n)
        ],
        networkd=[
            f"/run/systemd/netif/links/{k}:NETWORK_FILE=/etc/systemd/network/{k}.network"
            for k in range(n)
        ],
    ),
}


def _asked(text: str) -> dict[str, Facts]:
    """The facts of all machines, of which the first says this; the others have all routes."""
    routes = {k: [f"unicast {wanted(to)} table main" for to in range(3) if to != k] for k in (1, 2)}
    return {"worker-0": read(text), **{f"worker-{k}": read(answer(k, *routes[k])) for k in routes}}


def _planning(of: Callable[[int], str], allowed: Allowed) -> Callable[[int], Job]:
    def job(number: int) -> Job:
        text = of(number)

        def planned() -> None:
            whole, _ = complete(OF, found := _asked(text))
            ways_back = plan_rollback(whole, found), plan_last(whole, found, last_run(found))
            for plan in (plan_routes(whole, found, allowed), *ways_back):
                plan_report(plan, machine_notes(found, whole.pod_networks))
                plan_json(plan, whole)
                dry_run_report(plan)

        return planned

    return job


def _examining(of: Callable[[int], str]) -> Callable[[int], Job]:
    pairs = [Pair(a.name, b.name, 4, True, "silent") for a, b in permutations(OF.machines, 2)]

    def job(number: int) -> Job:
        found = _asked(of(number))
        listing = ["== link", *_links(number), "== firewall 4", *nft_of_services(number), "== end"]
        evidence = dict.fromkeys(found, read_evidence("\n".join(listing)))

        def examined() -> None:
            scene = Scene(OF, found, evidence, pairs)
            settings_causes(scene)
            trial_causes(scene, Trials(), pairs)
            mtu_causes(scene, Trials())
            part_causes(scene)
            unplanned_routes(Scene(OF, found, {}, []))

        return examined

    return job


def _links(number: int) -> list[str]:
    return [f"{k}: veth{k}@if2: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc" for k in range(number)]


def _evidence(listing: Callable[[int], list[str]]) -> Callable[[int], Job]:
    def job(services: int) -> Job:
        lines = ["== link", *_links(services), "== firewall 4", *listing(services), "== end"]
        text = "\n".join(lines)
        return lambda: read_evidence(text)

    return job


def _trials(services: int) -> Job:
    listing = nft_of_services(services)
    text = "\n".join(["== before-firewall 0", *listing, "== after-firewall 0", *listing])
    pair = Pair("worker-0", "worker-1", 4, True, "silent")
    asked = {m.name: facts(k) for k, m in enumerate(OF.machines)}

    def job() -> object:
        said = sections(text)
        return read_trials([pair], [], {"worker-0": said, "worker-1": said}, asked)

    return job


def _judging(services: int) -> Job:
    """Of a packet for a pod, which every service's rule is asked about."""
    listed = read_firewall(nft_of_services(services), 4)
    packet = Packet({"target": "10.200.0.9", "source": None}, frozenset(("forward",)))
    return lambda: judge(listed, packet)


def _pings(number: int) -> Job:
    targets = [Target(f"w{k}", ip_address(0x0AC80000 + k), None) for k in range(number)]
    summary = "3 packets transmitted, 3 received, 0% packet loss, time 401ms"
    lines = [
        line
        for target in targets
        for line in (f"--- {target.address} ping statistics ---", summary, "rtt = 0.1/0.2/0.3/0 ms")
    ]
    text = "\n".join(["== ready bridge", "== large host", *lines, "== sent"])
    return lambda: read_report(text, targets)


class _Alike:
    """Stands for a fleet whose machines all say the same."""

    cluster = OF

    def __init__(self, text: str) -> None:
        self._text = text

    def ask(self, scripts: Mapping[str, str], _doing: str = "") -> dict[str, str]:
        return dict.fromkeys(scripts, self._text)


def _history(runs: int) -> Job:
    lines = (f"2025-01-01T00:00:00\t{k:08}T000000-ab\tan\tapply\tkept" for k in range(runs))
    fleet = cast(Fleet, _Alike("\n".join(lines)))
    return lambda: history_report(histories(fleet, skip_unreachable=False).entries, 20)


def _discovering(number: int) -> Job:
    texts = [str(ip_address(0x0AF00000 + k)) for k in range(number)]

    def job() -> None:
        found = [Found(f"worker-{k}", "ssh", tuple(internal_ips("ssh", *texts))) for k in range(2)]
        found += [Found(f"other-{k}", "hcloud") for k in range(number)]
        Selection(OF).unmet(found)
        combine([one for one in found if Selection(OF).takes(one)], OF, {})

    return job


def _asking_for_addresses(number: int) -> Job:
    """Of machines whose addresses, and pod CIDRs, are many."""
    kubelet = [f"podCIDR: 10.9.{k // 256}.{k % 256}/32" for k in range(number)]
    addresses = [
        f"2: {DEV}    inet 10.8.{k // 256}.{k % 256}/16 scope global" for k in range(number)
    ]
    text = answer(0, address=addresses, **{"kubelet_/var/lib/kubelet/config.yaml": kubelet})
    request = Request(Context(), fleet=lambda: cast(Fleet, _Alike(text)))
    return lambda: list(ask("ssh", request))


def _absent(number: int) -> Job:
    """Of which one worker has many routes, and many have claims."""
    whole = cluster(number // 5 + 2)
    of = replace(whole, machines=tuple(replace(m, pod_cidrs=()) for m in whole.machines))
    found = {
        m.name: facts(k, claims=(Claim("kubelet", m.pod_cidrs),))
        for k, m in enumerate(whole.machines[1:], 1)
    }
    way = f"via 10.250.0.9 dev {DEV} table main proto 214"
    stray = read(answer(1, *(f"unicast 10.9.{k // 256}.{k % 256} {way}" for k in range(number))))
    found["worker-1"] = replace(found["worker-1"], routes=stray.routes)
    return lambda: doubtful_claims(of, found)


def _reading(of: Callable[[int], str]) -> Callable[[int], Job]:
    def job(number: int) -> Job:
        text = of(number)
        return lambda: read(text)

    return job


READING: dict[str, Callable[[int], Job]] = {
    "facts, by routes": _reading(SAID["foreign inside"]),
    "facts, by policy rules": _reading(SAID["rules to tables"]),
    "facts, by addresses": _reading(SAID["addresses"]),
    "facts, by files' routes": _reading(SAID["files"]),
    "facts, by links that networkd manages": _reading(SAID["networkd's links"]),
    "evidence, by services in nftables": _evidence(nft_of_services),
    "evidence, by services in iptables": _evidence(iptables_of_services),
    "trials, by services in nftables": _trials,
    "a packet, by services in nftables": _judging,
    "pings, by targets": _pings,
    "history, by runs": _history,
    "discovery, by addresses and machines": _discovering,
    "discovery over ssh, by addresses and pod CIDRs": _asking_for_addresses,
    "claims to an absent worker's pods, by workers and routes": _absent,
}
# What verify does not look at where pairs fail.
UNSEEN = "kept", "CNI ranges", "kubelet's", "displaced", "last", "next hop groups", "files"
ALL = Allowed(adopt=True, replace=True, prune=True)
PLANNING = {name: _planning(of, Allowed()) for name, of in SAID.items()}
REPLACING = {name: _planning(of, ALL) for name, of in SAID.items()}
EXAMINING = {name: _examining(of) for name, of in SAID.items() if name not in UNSEEN}
