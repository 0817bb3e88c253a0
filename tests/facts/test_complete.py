from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_interface, ip_network

import pytest

from tasks.facts.complete import complete, doubtful_claims
from tasks.facts.model import Facts
from tasks.facts.parse import read
from tasks.facts.pod_cidrs import Claim
from tasks.inventory.model import Cluster
from tasks.persistence.backends import files_to
from tasks.persistence.managers import Manager
from tests.builders import DEV, cluster, facts, node, pods, route, wanted


def bare(of: Cluster, *, ips: bool = True, cidrs: bool = True) -> Cluster:
    """A cluster whose file leaves out what is on the machines."""
    return replace(
        of,
        machines=tuple(
            replace(
                m,
                internal_ips=() if ips else m.internal_ips,
                pod_cidrs=() if cidrs else m.pod_cidrs,
            )
            for m in of.machines
        ),
    )


def claim(*networks: str, place: str = "kubelet") -> Claim:
    return Claim(place, tuple(map(ip_network, networks)))


def having(*addresses: tuple[str, str], claims: Sequence[Claim] = ()) -> Facts:
    """A machine that has these addresses, each with its device."""
    on = tuple((dev, ip_interface(address)) for dev, address in addresses)
    return facts(0, addresses=on, claims=tuple(claims))


@pytest.mark.parametrize("families", [(4,), (6,), (4, 6)])
def test_what_the_file_leaves_out_is_found_on_the_machines(families: tuple[int, ...]) -> None:
    whole = cluster(3, controllers=1, families=families)
    asked = {
        m.name: facts(
            i, families=families, claims=(claim(*(pods(i, f) for f in families)),) if i < 3 else ()
        )
        for i, m in enumerate(whole.machines)
    }
    of = replace(bare(whole), machines=(*bare(whole).machines[:3], whole.machines[3]))
    assert complete(of, asked) == (whole, [])


def test_a_machine_that_was_not_asked_stays_as_the_file_has_it() -> None:
    of = cluster(2)
    assert complete(of, {}) == (of, [])


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ([], []),
        ([claim(pods(0))], []),
        ([claim(pods(0), pods(0, 6))], []),
        ([claim("10.200.0.0/25")], []),  # a share of it, as host-local's ranges may name
        ([claim("10.200.9.0/24", place="cni0")], [pods(0), "hosts.toml", "10.200.9.0/24", "cni0"]),
        ([claim(pods(0)), claim("10.200.9.0/24", place="cni0")], ["10.200.9.0/24", "cni0"]),
        ([claim("10.200.0.0/16")], ["10.200.0.0/16"]),
    ],
)
def test_a_pod_cidr_must_be_the_machines_own(claims: list[Claim], said: list[str]) -> None:
    of = cluster(1)
    completed, mistakes = complete(of, {"worker-0": facts(0, claims=tuple(claims))})
    assert completed == of
    assert len(mistakes) == bool(said)
    assert all(word in " ".join(mistakes) for word in ["worker-0", *said] if said)


def test_places_on_a_machine_that_disagree_are_both_named() -> None:
    of = bare(cluster(1), ips=False)
    claims = (claim(pods(0)), claim("10.200.9.0/24", place="the address of cni0"))
    _, (mistake,) = complete(of, {"worker-0": facts(0, claims=claims)})
    for word in ("worker-0", pods(0), "kubelet", "10.200.9.0/24", "the address of cni0"):
        assert word in mistake


def test_a_worker_that_names_no_pod_cidr_says_where_it_could() -> None:
    _, mistakes = complete(bare(cluster(1), ips=False), {"worker-0": facts(0)})
    assert len(mistakes) == 1
    assert "pod_cidr" in mistakes[0]


def test_the_pod_cidr_is_that_of_the_configuration_that_the_runtime_uses() -> None:
    """It is the first valid file in name order (libcni's ConfFiles), whatever its ending."""
    ipam = '"ipam": {"type": "host-local", "subnet": "%s"}'
    answer = "\n".join(
        [
            "== cni /etc/cni/net.d/87-podman.conf",
            '{"type": "bridge", "bridge": "podman0", ' + ipam % "10.88.0.0/16" + "}",
            "== cni /etc/cni/net.d/10-bridge.conflist",
            '{"name": "pods", "plugins": [{"type": "bridge", ' + ipam % pods(0) + "}]}",
            "== answering",
        ]
    )
    claims = read(answer).claims
    completed, mistakes = complete(
        bare(cluster(1), ips=False), {"worker-0": facts(0, claims=claims)}
    )
    assert mistakes == []
    assert [str(n) for n in completed.machines[0].pod_cidrs] == [pods(0)]


INSIDE = ("eth1", f"{node(0)}/24")
NAT = ("eth0", "10.0.2.15/24")
PUBLIC = ("eth0", "8.8.4.4/24")  # is_private is true of addresses for documentation
POD = ("cni0", "10.200.0.1/24")
V6 = ("eth1", f"{node(0, 6)}/64")


@pytest.mark.parametrize(
    ("addresses", "bridges", "node_networks", "found"),
    [
        ([INSIDE], {}, [], node(0)),
        ([PUBLIC, INSIDE], {}, [], node(0)),  # the private one of two
        ([PUBLIC], {}, [], None),  # never a public one unasked
        ([PUBLIC], {}, ["8.8.4.0/24"], "8.8.4.4"),
        ([("eth0", "203.0.113.9/24"), INSIDE], {}, [], node(0)),  # one for documentation
        ([PUBLIC, ("br0", f"{node(0)}/24")], {"br0": 1500}, [], None),
        ([PUBLIC, ("vmbr1", f"{node(0)}/24")], {"vmbr1": 1500}, ["10.240.0.0/24"], node(0)),
        ([PUBLIC, ("docker0", "172.17.0.1/16")], {"docker0": 1500}, [], None),
        ([("eth0", "100.64.0.7/10")], {}, [], None),  # shared address space (RFC 6598)
        # pod_networks hold the nodes' own network.
        ([PUBLIC, ("eth1", "10.200.77.6/24")], {}, [], None),
        ([PUBLIC, ("eth1", "10.200.77.6/24"), ("wg0", "10.8.0.6/24")], {}, [], None),
        ([INSIDE, ("cilium_host", "10.200.9.1/32")], {}, [], node(0)),
        ([NAT, INSIDE], {}, [], None),  # Vagrant: two private ones
        ([NAT, INSIDE], {}, ["10.240.0.0/24"], node(0)),
        ([NAT], {}, ["10.240.0.0/24"], None),
        ([INSIDE, ("eth2", "10.240.0.99/24")], {}, ["10.240.0.0/24"], None),
        ([INSIDE, POD], {}, [], node(0)),  # the pods' own
        ([INSIDE, ("docker0", "172.17.0.1/16")], {"docker0": 1500}, [], node(0)),
        ([INSIDE, ("lo", "127.0.0.1/8"), ("eth0", "169.254.7.7/16")], {}, [], node(0)),
        ([INSIDE, V6], {}, [], node(0)),
        ([V6], {}, [], None),
        # Proxmox, libvirt and others have the machine's own address on a bridge.
        ([("vmbr0", f"{node(0)}/24")], {"vmbr0": 1500}, ["10.240.0.0/24"], node(0)),
    ],
)
def test_the_internal_ip_is_the_one_that_leaves_no_doubt(
    addresses: list[tuple[str, str]],
    bridges: dict[str, int],
    node_networks: list[str],
    found: str | None,
) -> None:
    of = replace(bare(cluster(1), cidrs=False), node_networks=tuple(map(ip_network, node_networks)))
    asked = replace(having(*addresses), bridges=bridges)
    completed, mistakes = complete(of, {"worker-0": asked})
    assert [str(ip) for ip in completed.machines[0].internal_ips] == ([found] if found else [])
    assert len(mistakes) == (found is None)
    assert all("worker-0" in line and "internal_ip" in line for line in mistakes)


def test_addresses_that_are_not_taken_are_shown_with_the_reason() -> None:
    addresses = (PUBLIC, ("br0", f"{node(0)}/24"), ("eth1", "10.200.77.6/24"), POD)
    asked = replace(having(*addresses), bridges={"br0": 1500, "cni0": 1500})
    _, mistakes = complete(bare(cluster(1), cidrs=False), {"worker-0": asked})
    assert mistakes == [
        f"  worker-0: it has 8.8.4.4 (on eth0, public), {node(0)} (on bridge br0), 10.200.77.6"
        " (on eth1, inside pod_networks): write its internal_ip in hosts.toml"
    ]


def test_an_internal_ip_that_the_machine_does_not_have_is_shown_with_those_it_has() -> None:
    asked = having(PUBLIC, ("eth1", "10.240.0.77/24"))
    _, (mistake,) = complete(cluster(1), {"worker-0": asked})
    for word in ("worker-0", node(0), "8.8.4.4", "10.240.0.77"):
        assert word in mistake


def test_workers_that_turn_out_to_have_the_same_are_both_named() -> None:
    of = bare(cluster(2))
    asked = {
        "worker-0": having(INSIDE, claims=[claim("10.200.0.0/23")]),
        "worker-1": having(INSIDE, claims=[claim(pods(1))]),
    }
    _, mistakes = complete(of, asked)
    assert len(mistakes) == 2
    for words, line in zip(([node(0)], ["10.200.0.0/23", pods(1)]), mistakes, strict=True):
        assert all(word in line for word in ["worker-0", "worker-1", *words])


ROUTE = route(wanted(2))  # to worker-2, by its own address
ON_DISK = files_to((ROUTE,), {DEV: Manager("ifupdown")}, {}).write


@pytest.mark.parametrize(
    "known",
    [
        facts(0, wanted(2)),
        facts(0, f"10.200.2.128/25 via {node(2)} dev {DEV} proto 214"),
        facts(0, recorded=(ROUTE,)),
        facts(0, files={file.path: file.text for file in ON_DISK}),
    ],
    ids=["in the kernel", "a part of it", "lost", "in a file"],
)
@pytest.mark.parametrize("ips", [True, False], ids=["internal_ip in the file", "left out"])
def test_an_absent_workers_pod_cidr_is_nobody_elses(known: Facts, ips: bool) -> None:
    """Nor where worker-1 says that it has the address of worker-2, beside its own."""
    of = bare(cluster(3), ips=ips)
    asked = {
        "worker-0": replace(known, claims=(claim(pods(0)),)),
        "worker-1": facts(1, claims=(claim(pods(2)),)),
    }
    _, (mistake,) = complete(of, asked)
    for word in ("worker-1", pods(2), node(2), "worker-0", "worker-2", "write pod_cidr"):
        assert word in mistake
    assert doubtful_claims(of, asked) == ["worker-1"]
    posing = replace(asked["worker-1"], addresses=((DEV, ip_interface(f"{node(2)}/24")),))
    both = replace(posing, addresses=(*posing.addresses, *asked["worker-1"].addresses))
    assert complete(of, {**asked, "worker-1": both})[1]


def test_who_is_asked_may_have_another_pod_cidr_than_before() -> None:
    """All are asked; or the routes lead to machines that are; or hosts.toml says the absent's."""
    of = bare(cluster(3), ips=True)
    swapped = {
        "worker-0": facts(0, wanted(1), wanted(2), claims=(claim(pods(0)),)),
        "worker-1": facts(1, claims=(claim(pods(2)),)),
        "worker-2": facts(2, claims=(claim(pods(1)),)),
    }
    assert complete(of, swapped)[1] == []
    four = bare(cluster(4), ips=True)
    assert complete(four, swapped)[1] == []
    said = replace(four, machines=(*four.machines[:3], cluster(4).machines[3]))
    stale = f"{pods(9)} via {node(9)} dev {DEV} proto 214"
    renumbered = {
        "worker-0": facts(0, stale, claims=(claim(pods(0)),)),
        "worker-1": facts(1, claims=(claim(pods(9)),)),
        "worker-2": facts(2, claims=(claim(pods(2)),)),
    }
    assert complete(said, renumbered)[1] == []
    assert len(complete(four, renumbered)[1]) == 1


def test_a_contradiction_names_the_place_that_each_family_came_from() -> None:
    of = bare(cluster(1, families=(4, 6)), ips=False)
    places = (
        claim(pods(0), place="kubelet"),
        claim(pods(0, 6), place="cni"),
        claim(pods(1, 6), place="bridge"),
    )
    _, mistakes = complete(of, {"worker-0": facts(0, families=(4, 6), claims=places)})
    assert mistakes == [
        "  worker-0: pod CIDR is fd00:200::/64 in cni, but fd00:200:1::/64 in bridge"
    ]


def test_addresses_of_services_are_nobodys_internal_ip() -> None:
    of = bare(cluster(1), cidrs=False)
    whole, mistakes = complete(
        of, {"worker-0": having(("eth0", "10.240.0.6/24"), ("kube-ipvs0", "10.32.0.1/32"))}
    )
    assert (whole.machines, mistakes) == (cluster(1).machines, [])
