"""What several sources say, put together: a table of cases."""

import sys
from dataclasses import replace
from io import StringIO
from ipaddress import ip_network
from pathlib import Path

import pytest

from tasks.discovery.gather import around, drafted, edit_of
from tasks.discovery.merge import NO_NAME, Discovery, Row, Selection, combine, shared_names
from tasks.discovery.model import Found, Value, internal_ips, pod_cidrs, public_ips
from tasks.discovery.prompt import ask_about_open_rows
from tasks.inventory.model import Cluster, Machine
from tests.builders import cluster

PATH = Path("hosts.toml")


def listed(*names: str, source: str = "vultr") -> dict[str, frozenset[str]]:
    return {source: frozenset(names)}


def vultr(name: str, public: str = "", internal: str = "") -> Found:
    values = (*public_ips("vultr", public), *internal_ips("vultr", internal))
    return Found(name, "vultr", values, member=False)


def kubectl(name: str, internal: str = "", *cidrs: str) -> Found:
    values = (*internal_ips("kubectl", internal), *pod_cidrs("kubectl", *cidrs))
    return Found(name, "kubectl", values, role="worker" if cidrs else None)


def ssh(name: str, *addresses: str, pods: tuple[tuple[str, str], ...] = ()) -> Found:
    """A machine that answered: addresses as "DEVICE ADDRESS/LENGTH", pod CIDRs as (place, it)."""
    values = []
    for text in addresses:
        device, _, interface = text.partition(" ")
        (value,) = internal_ips(device, interface.split("/")[0])
        values.append(replace(value, network=ip_network(interface, strict=False)))
    values += [Value("pod_cidr", 4, cidr, place) for place, cidr in pods]
    return Found(name, "ssh", tuple(values))


def row(of: Discovery, machine: str, field: str, family: int = 4) -> Row:
    (found,) = [r for r in of.rows if (r.machine, r.field, r.family) == (machine, field, family)]
    return found


def texts(found: Row) -> list[str]:
    return [value.text for value in found.values]


def bare(*names: str) -> Cluster:
    """Workers of which hosts.toml says where ssh goes and nothing else."""
    machines = tuple(Machine(name, "worker", f"{name}.example.com") for name in names)
    return Cluster(PATH, (ip_network("10.200.0.0/16"),), machines)


# Which machines are meant


@pytest.mark.parametrize(
    ("match", "tag", "names"),
    [
        ((), "", []),
        (("worker-1",), "", ["worker-1"]),
        (("worker-*",), "", ["worker-1", "worker-10"]),
        (("worker-?", "db"), "", ["worker-1", "db"]),
        (("worker",), "", []),
        (("Worker-1",), "", []),
        ((), "worker", ["worker-1"]),
        (("db",), "worker", []),
    ],
)
def test_names_match_exactly_or_as_patterns(match: tuple[str], tag: str, names: list[str]) -> None:
    machines = [replace(vultr("worker-1"), tags=("worker",)), vultr("worker-10"), vultr("db")]
    selection = Selection(None, match, tag)
    assert [one.name for one in machines if selection.takes(one)] == names


def test_machines_of_hosts_toml_are_always_meant_by_their_exact_names() -> None:
    selection = Selection(cluster(2))
    assert selection.takes(vultr("worker-1"))
    assert not selection.takes(vultr("worker-10"))
    assert Selection(cluster(2), ("other-*",)).takes(vultr("worker-1"))


def test_a_source_of_the_clusters_own_needs_no_choice_but_takes_one() -> None:
    assert Selection(None).takes(kubectl("node-7"))
    assert not Selection(None, ("worker-*",)).takes(kubectl("node-7"))


def test_a_name_that_two_machines_of_a_source_share() -> None:
    twice = [vultr("a", "203.0.113.1"), vultr("a", "203.0.113.2"), vultr("b"), kubectl("b")]
    assert shared_names(twice) == [
        "vultr: 2 machines are named a (203.0.113.1, 203.0.113.2): rename all but one"
    ]


# Values next to those of hosts.toml


def test_the_same_is_the_same_and_what_differs_shows_both() -> None:
    of = combine([vultr("worker-0", "203.0.113.10", "10.240.0.66")], cluster(1), listed("worker-0"))
    assert row(of, "worker-0", "public_ip", 0).state == "same"
    internal = row(of, "worker-0", "internal_ip")
    assert (internal.state, texts(internal), internal.held) == (
        "differs",
        ["10.240.0.66"],
        "10.240.0.6",
    )
    edit = edit_of(of, cluster(1), prune=False)
    assert edit.sets == {"worker-0": {"internal_ip": ("10.240.0.66",)}}


def test_an_address_family_that_is_found_joins_the_other_in_its_place() -> None:
    dual = cluster(1, families=(4, 6))
    found = kubectl("worker-0", "", "fd00:200:9::/64")
    edit = edit_of(combine([found], dual, {}), dual, prune=False)
    assert edit.sets == {"worker-0": {"pod_cidr": ("10.200.0.0/24", "fd00:200:9::/64")}}
    single = cluster(1)
    edit = edit_of(combine([found], single, {}), single, prune=False)
    assert edit.sets == {"worker-0": {"pod_cidr": ("10.200.0.0/24", "fd00:200:9::/64")}}


def test_a_host_name_in_hosts_toml_is_kept() -> None:
    of = combine([vultr("a", "203.0.113.1")], bare("a"), listed("a"))
    assert row(of, "a", "public_ip", 0).state == "same"
    assert edit_of(of, bare("a"), prune=False).empty


def test_any_of_a_machines_public_ips_is_right_and_the_first_is_proposed() -> None:
    both = Found("worker-0", "vultr", tuple(public_ips("v", "2001:db8::1", "203.0.113.9")))
    six = replace(cluster(1), machines=(Machine("worker-0", "worker", "2001:db8::1"),))
    assert row(combine([both], six, {}), "worker-0", "public_ip", 0).state == "same"
    assert texts(row(combine([both], cluster(1), {}), "worker-0", "public_ip", 0)) == [
        "203.0.113.9"
    ]


def test_sources_combine_and_agree_on_what_both_say() -> None:
    of = combine(
        [
            vultr("a", "203.0.113.1", "10.240.0.6"),
            ssh(
                "a",
                "ens3 203.0.113.1/24",
                "ens7 10.240.0.6/24",
                pods=(("kubelet", "10.200.0.0/24"),),
            ),
        ],
        None,
        listed("a"),
    )
    assert [(r.field, texts(r), r.state) for r in of.rows] == [
        ("public_ip", ["203.0.113.1"], "new"),
        ("internal_ip", ["10.240.0.6"], "new"),
        ("pod_cidr", ["10.200.0.0/24"], "new"),
    ]


def test_contradictions_stay_open_unless_hosts_toml_has_decided() -> None:
    found = [
        vultr("worker-0", "", "10.240.0.77"),
        kubectl("worker-0", "10.240.0.6", "10.200.0.0/24"),
    ]
    of = combine(found, None, {})
    assert texts(row(of, "worker-0", "internal_ip")) == ["10.240.0.77", "10.240.0.6"]
    assert [r.field for r in of.open] == ["internal_ip"]
    assert "internal_ip" not in edit_of(of, None, prune=False).adds[0][2]
    assert row(combine(found, cluster(1), {}), "worker-0", "internal_ip").state == "same"


def test_a_contradiction_is_shown_though_hosts_toml_has_decided() -> None:
    found = [vultr("worker-0", "", "10.240.0.6"), kubectl("worker-0", "10.240.0.77")]
    internal = row(combine(found, cluster(1), {}), "worker-0", "internal_ip")
    assert (internal.state, texts(internal)) == ("same", ["10.240.0.6"])
    assert [(v.text, v.place) for v in internal.against] == [("10.240.0.77", "kubectl")]
    named = replace(bare("a"), machines=(Machine("a", "worker", "a.example.com"),))
    node = Found("a", "kubectl", tuple(public_ips("kubectl", "203.0.113.2")))
    public = row(combine([vultr("a", "203.0.113.1"), node], named, {}), "a", "public_ip", 0)
    assert (texts(public), len(public.against)) == (["a.example.com"], 2)


def test_one_of_several_addresses_that_would_do_contradicts_nothing() -> None:
    of = replace(cluster(1), node_networks=())
    machine = ssh("worker-0", "eth1 10.240.0.6/24", "eth2 10.2.0.5/24")
    internal = row(combine([machine], of, {}), "worker-0", "internal_ip")
    assert (internal.state, internal.against) == ("same", ())


def test_a_bridge_contradicts_a_pod_cidr_whoever_else_agrees() -> None:
    pods = (("config.yaml", "10.200.0.0/24"), ("cnio0", "10.200.9.0/24"))
    both = [ssh("worker-0", pods=pods), kubectl("worker-0", "", "10.200.0.0/24")]
    of = cluster(1)
    assert [v.place for v in row(combine(both, of, {}), "worker-0", "pod_cidr").against] == [
        "cnio0"
    ]
    assert row(combine(both, bare("worker-0"), {}), "worker-0", "pod_cidr").state == "open"


def test_places_on_a_machine_that_disagree_stay_open() -> None:
    pods = (("config.yaml", "10.200.0.0/24"), ("cnio0", "10.200.9.0/24"))
    of = combine([ssh("a", pods=pods)], bare("a"), {})
    assert (row(of, "a", "pod_cidr").state, len(of.open)) == ("open", 1)


def test_two_sources_with_the_same_public_ip_agree() -> None:
    node = Found("a", "kubectl", tuple(public_ips("kubectl", "203.0.113.1", "2001:db8::1")))
    of = combine([vultr("a", "203.0.113.1"), replace(node, role="worker")], None, {})
    assert row(of, "a", "public_ip", 0).state == "new"


def test_an_internal_ip_of_a_family_that_pods_do_not_have_is_not_taken() -> None:
    machine = ssh("a", "eth0 10.240.0.6/24", "eth0 2001:db8::6/64")
    assert [r.family for r in combine([machine], bare("a"), {}).rows] == [4]
    node = kubectl("a", "10.240.0.6", "10.200.0.0/24")
    both = replace(node, values=(*node.values, *internal_ips("kubectl", "2001:db8::6")))
    assert {r.family for r in combine([both], None, {}).rows} == {0, 4}


def test_networks_are_shared_by_family() -> None:
    machines = [
        ssh(
            name,
            f"eth0 10.1.0.{n}/24",
            f"eth1 10.{n}.2.1/24",
            *([f"eth0 fd01::{n}/64", f"eth1 fd02:{n}::1/64"] if n > 4 else []),
        )
        for n, name in enumerate("abc", 4)
    ]
    dual = cluster(0, families=(4, 6))
    of = combine(machines, replace(dual, machines=bare("a", "b", "c").machines), {})
    assert not of.open
    assert texts(row(of, "b", "internal_ip", 6)) == ["fd01::5"]


def test_two_sources_with_other_public_ips_stay_open() -> None:
    node = Found("a", "kubectl", tuple(public_ips("kubectl", "203.0.113.2")), role="worker")
    of = combine([vultr("a", "203.0.113.1"), node], None, {})
    assert row(of, "a", "public_ip", 0).state == "open"


# Which address is the internal one


def test_vagrants_address_on_all_is_seen_and_the_shared_subnet_is_proposed() -> None:
    machines = [
        ssh(f"node-{n}", "enp0s3 10.0.2.15/24", f"enp0s8 192.168.56.{10 + n}/24") for n in (1, 2)
    ]
    of = combine(machines, bare("node-1", "node-2"), {})
    assert texts(row(of, "node-2", "internal_ip")) == ["192.168.56.12"]
    assert not of.open
    (note,) = of.notes
    assert note.startswith("10.0.2.15 is on node-1, node-2 alike")
    assert note.endswith("--node-ip with its address on the network that the machines share")


def test_vagrants_address_from_kubectl_is_not_taken() -> None:
    nodes = [kubectl(f"n{n}", "10.0.2.15", f"10.200.{n}.0/24") for n in (1, 2, 3, 4)]
    of = combine(nodes, None, {})
    assert {r.field for r in of.rows} == {"public_ip", "pod_cidr"}
    assert row(of, "n1", "public_ip", 0).values[0].place == "its name"
    assert "n1, n2, n3, n4 alike" in of.notes[0]
    assert of.notes[0].endswith("; ssh among the sources finds that one")


@pytest.mark.parametrize(
    ("addresses", "ranges", "proposed"),
    [
        (["eth0 198.18.0.9/24", "eth1 10.1.0.5/24"], (), ["10.1.0.5"]),
        (["eth0 8.8.8.9/24", "eth1 10.1.0.5/24"], (), ["10.1.0.5"]),
        (["eth0 8.8.8.9/24"], (), ["8.8.8.9"]),
        (["eth0 10.1.0.5/24", "wg0 10.8.0.5/24"], (), ["10.1.0.5"]),
        (["eth0 10.9.0.5/24", "eth1 10.1.0.5/24"], (), ["10.1.0.5"]),
        (["eth1 10.1.0.5/24", "eth2 10.2.0.5/24"], (), ["10.1.0.5", "10.2.0.5"]),
        (["eth1 10.1.0.5/24", "eth2 10.2.0.5/24"], ("10.2.0.0/16",), ["10.2.0.5"]),
        (["eth1 10.1.0.5/24"], ("10.2.0.0/16",), ["10.1.0.5"]),
    ],
    ids=[
        "not one that is for tests",
        "the private one",
        "the only one",
        "not one that only some have",
        "on the subnet that the machines share",
        "two subnets that they share",
        "by node_networks",
        "outside node_networks, which the checks then say",
    ],
)
def test_the_internal_ip_is_the_likely_one(
    addresses: list[str], ranges: tuple[str, ...], proposed: list[str]
) -> None:
    of = replace(
        bare("a", "b"),
        machines=(Machine("a", "worker", "198.18.0.9"), Machine("b", "worker", "b")),
        node_networks=tuple(map(ip_network, ranges)),
    )
    other = ssh("b", "eth1 10.1.0.6/24", "eth2 10.2.0.6/24", "eth3 10.3.0.6/24")
    if proposed == ["10.1.0.5"] and len(addresses) > 1:
        other = ssh("b", "eth1 10.1.0.6/24")
    assert (
        texts(row(combine([ssh("a", *addresses), other], of, {}), "a", "internal_ip")) == proposed
    )


def test_the_network_of_an_answer_is_taken_on_the_other_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = [
        ssh(n, f"eth1 10.1.0.{at}/24", f"eth2 10.2.0.{at}/24") for at, n in enumerate("abc")
    ]
    of = combine(machines, bare("a", "b", "c"), {})
    assert len(of.open) == 3
    terminal = StringIO("\n2\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    after = ask_about_open_rows(of)
    assert [(r.machine, r.state) for r in after.rows] == [("a", "open"), ("b", "new"), ("c", "new")]
    assert texts(row(after, "c", "internal_ip")) == ["10.2.0.2"]
    assert "c: internal_ip 10.2.0.2, on the same network\n" in capsys.readouterr().err


# Machines that are new, gone, or something else than hosts.toml says


@pytest.mark.parametrize("name", ["a$(id)", "a b", "root@a", "-a", "a:22", "a" * 254])
def test_a_new_machine_is_left_out_whose_name_hosts_toml_cannot_hold(name: str) -> None:
    nodes = [kubectl(name, "", "10.200.0.0/24"), kubectl("w-2", "10.240.0.2", "10.200.2.0/24")]
    of = combine(nodes, None, {})
    assert of.new == ("w-2",)
    assert {r.machine for r in of.rows} == set(of.roles) == {"w-2"}
    assert [m.name for m in drafted(of, PATH, None).machines] == ["w-2"]
    assert of.notes == (f"{name}: {NO_NAME}",)


@pytest.mark.parametrize(
    "names",
    [
        ["worker2", "worker10"],
        ["a-10", "b-2"],
        ["db", "db-1", "db-20", "worker", "worker-0", "worker-3"],
        ["rack2-w1", "rack2-w11", "rack10-w1"],
        ["w2.a", "w2.b", "w10.a"],
    ],
)
def test_new_machines_come_in_the_order_in_which_people_read_their_names(names: list[str]) -> None:
    nodes = [kubectl(n, "", f"10.200.{at}.0/24") for at, n in enumerate(reversed(names))]
    assert list(combine(nodes, None, {}).new) == names


def test_new_machines_come_in_natural_order_and_have_a_way_in() -> None:
    nodes = [kubectl(f"w-{n}", f"10.240.0.{n}", f"10.200.{n}.0/24") for n in (10, 2)]
    of = combine(nodes, None, {})
    assert of.new == ("w-2", "w-10")
    assert row(of, "w-2", "public_ip", 0).values[0].place == "its internal IP"
    draft = drafted(of, PATH, None)
    assert [m.public_ip for m in draft.machines] == ["10.240.0.2", "10.240.0.10"]


@pytest.mark.parametrize(
    ("cidrs", "networks"),
    [
        (("10.200.0.0/24", "10.200.2.0/24"), ["10.200.0.0/22"]),
        (("10.200.0.0/24", "10.244.0.0/24"), ["10.200.0.0/24", "10.244.0.0/24"]),
        (("10.200.0.0/24", "fd00:200::/64"), ["10.200.0.0/24", "fd00:200::/64"]),
        ((), []),
    ],
    ids=["what holds all", "no node", "of each family", "none"],
)
def test_the_pod_networks_of_a_new_file(cidrs: tuple[str, ...], networks: list[str]) -> None:
    nodes = [kubectl(f"n{n}", f"10.240.0.{n}", cidr) for n, cidr in enumerate(cidrs, 1)]
    assert around(combine(nodes, None, {}).rows) == networks


def test_what_a_new_machine_is() -> None:
    of = combine(
        [vultr("worker-0", "203.0.113.1"), vultr("controller-0", "203.0.113.2"), kubectl("late")],
        None,
        {},
        ("controller-*",),
    )
    assert of.roles == {"worker-0": "worker", "controller-0": "controller"}
    assert [role for _, role, _ in edit_of(of, None, prune=False).adds] == ["worker", "controller"]


def test_a_new_machine_that_was_asked_and_names_no_pod_cidr() -> None:
    several = [vultr("a", "203.0.113.1"), vultr("b", "203.0.113.2"), vultr("c", "203.0.113.3")]
    answers = [ssh("a"), ssh("b"), replace(ssh("c"), trouble="it does not answer")]
    (note,) = combine([*several, *answers], None, {}).notes
    assert note.startswith("a, b: names no pod CIDR; if it is to own none: --controllers")
    assert not combine([*several, *answers], None, {}, ("a", "b")).notes


def test_a_note_of_many_machines_is_one_note() -> None:
    nodes = [replace(kubectl(f"n{n}"), notes=("has no podCIDR yet",)) for n in range(30)]
    (note,) = combine(nodes, None, {}).notes
    assert note.startswith("n0, n1, n2, ")
    assert note.endswith(", n19 and 10 others: has no podCIDR yet: left out")


def test_a_node_without_a_pod_cidr_yet_is_listed_as_such() -> None:
    node = replace(kubectl("late", "10.240.0.9"), notes=("has no podCIDR yet",))
    of = combine([node], None, listed("late", source="kubectl"))
    assert (of.rows, of.notes) == ((), ("late: has no podCIDR yet: left out",))
    of = combine([node], bare("late"), listed("late", source="kubectl"))
    assert of.notes == ("late: has no podCIDR yet",)
    assert texts(row(of, "late", "internal_ip")) == ["10.240.0.9"]


def test_a_controller_that_turns_out_to_own_a_pod_cidr() -> None:
    of = cluster(1, 1)
    found = combine([kubectl("controller-1", "10.240.0.7", "10.200.9.0/24")], of, {})
    assert "move it from [[controllers]] to [[workers]]" in found.notes[0]
    assert edit_of(found, of, prune=False).empty


def test_a_machine_that_disappeared_is_kept_unless_it_is_to_go() -> None:
    of = combine([vultr("worker-0", "203.0.113.10", "10.240.0.6")], cluster(2), listed("worker-0"))
    assert of.gone == {"worker-1": ("vultr",)}
    assert edit_of(of, cluster(2), prune=False).empty
    assert edit_of(of, cluster(2), prune=True).removes == {"worker-1"}
    assert [m.name for m in drafted(of, PATH, cluster(2)).machines] == ["worker-0"]


def test_a_machine_that_one_source_still_has_is_not_pruned() -> None:
    names = {**listed("worker-0"), **listed("worker-0", "worker-1", source="kubectl")}
    of = combine([], cluster(2), names)
    assert of.gone == {"worker-1": ("vultr",)}
    assert not edit_of(of, cluster(2), prune=True).removes


def test_a_controller_that_is_no_node_has_not_disappeared() -> None:
    of = cluster(1, 1)
    node, instance = kubectl("worker-0", "10.240.0.6"), vultr("worker-0")
    nodes = listed("worker-0", source="kubectl")
    alone = combine([node], of, nodes)
    assert not alone.gone
    assert edit_of(alone, of, prune=True).empty
    both = combine([node, instance], of, {**listed("worker-0"), **nodes})
    assert both.gone == {"controller-1": ("vultr",)}
    assert edit_of(both, of, prune=True).removes == {"controller-1"}


def test_ssh_alone_makes_nobody_disappear() -> None:
    of = combine([ssh("worker-0")], cluster(2), {})
    assert not of.gone
    assert not edit_of(of, cluster(2), prune=True).removes
