"""Facts: a machine's answer read without trust."""

import contextlib
import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.facts.model import Facts
from tasks.facts.parse import read
from tasks.facts.pod_bridge import Known
from tasks.facts.pod_cidrs import Claim
from tasks.iproute.route import parse
from tasks.undo.records import last_lines

ANSWER = """\
== missing
== client
198.51.100.7 40022 203.0.113.10 22
== route 4
unicast default via 203.0.113.1 dev eth0 table main proto dhcp scope global metric 100
unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 table main proto 214 scope global
local 10.240.0.6 dev enp6s0 table local proto kernel scope host src 10.240.0.6
== route 6
== address
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
3: enp6s0    inet 10.240.0.6/24 scope global enp6s0\\       valid_lft forever
4: cnio0    inet 10.200.0.1/24 brd 10.200.0.255 scope global cnio0\\       valid_lft forever
== bridge
4: cnio0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP mode DEFAULT
== rule 4
0:\tfrom all lookup local
100:\tfrom 10.0.0.0/8 to 10.200.4.0/24 lookup 100
110:\tfrom all fwmark 0x1 lookup 200
32766:\tfrom all lookup main
32767:\tfrom all lookup default
== ours 4
unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214 scope global linkdown
== ours 6
unicast fd00:200:1::/64 via fd00:240::7 dev enp6s0 proto 214 metric 1024 expires 60sec pref medium
== kubelet /var/lib/kubelet/kubelet-config.yaml
"10.200.0.0/24"  # this worker's
== cni /etc/cni/net.d/10-bridge.conf
{"type": "bridge", "bridge": "cnio0", "ipMasq": true, "ipam": {"type": "host-local", \
"ranges": [[{"subnet": "10.200.0.0/24"}]]}, "token": "fa1rly-secret"}
== reserved
10.200.0.2
last_reserved_ip.0
lock
== displaced /run/pod-routes/displaced/20260101T000000.1_4_10.200.2.0-24_static.text
unicast 10.200.2.0/24 via 10.240.0.99 dev enp6s0 table main proto static scope global metric 50
unicast 10.200.2.0/24 via 10.240.0.98 dev enp6s0 table main proto 214 scope global
== pending
pending 42
20260102T000000.1
14:03:20
ann@desk from 198.51.100.7
2 add
worker-0 worker-1
== last
20260101T000000.1
worker-0 worker-1
put 10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214
took 10.200.1.0/24 via 10.240.0.99 dev enp6s0 proto 214
== run 20260101T000000.1
== run 20260102T000000.1 20260101T120000.1 20260101T110000.1
== answering
10.240.0.15
"""


def test_a_whole_answer() -> None:
    facts = read(ANSWER)
    assert [str(r.prefix) for r in facts.owned] == ["10.200.1.0/24"]
    assert [(r.family, str(r.source), str(r.destination), r.table) for r in facts.rules] == [
        (4, "10.0.0.0/8", "10.200.4.0/24", "100")
    ]
    subnet = (ip_network("10.200.0.0/24"),)
    assert facts.claims == (
        Claim("/var/lib/kubelet/kubelet-config.yaml", subnet),
        Claim("/etc/cni/net.d/10-bridge.conf", subnet),
        Claim("the address of cnio0", subnet),
    )
    assert (facts.pod_bridge, facts.pod_mtu, facts.masquerades) == ("cnio0", 1450, True)
    assert facts.reserved == {ip_address("10.200.0.2")}
    (displaced,) = facts.displaced
    assert displaced.run == "20260101T000000.1"
    assert [r.metric for r in displaced.routes] == [50]  # ours is not among them
    assert facts.pending is not None
    assert (facts.pending.who, facts.pending.seconds) == ("ann@desk from 198.51.100.7", 42)
    assert (facts.pending.machines, facts.pending.failed) == (("worker-0", "worker-1"), False)
    assert facts.last is not None
    assert [len(facts.last.puts), len(facts.last.takes)] == [1, 1]
    assert facts.last.machines == ("worker-0", "worker-1")
    assert facts.runs == (
        ("20260101T000000.1",),
        ("20260102T000000.1", "20260101T120000.1", "20260101T110000.1"),
    )
    assert facts.client == ip_address("198.51.100.7")
    assert facts.answering == {ip_address("10.240.0.15")}
    assert facts.snapshot == (
        "unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214 scope global\n"
        "unicast fd00:200:1::/64 via fd00:240::7 dev enp6s0 proto 214 metric 1024 pref medium\n"
    )
    assert facts.bridges == {"cnio0": 1450}
    assert "fa1rly-secret" not in repr(facts)


@pytest.mark.parametrize(
    ("text", "subnets"),
    [
        ('{"type": "x", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}', ["10.1.0.0/24"]),
        (
            '{"name": "n", "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "ranges":'
            ' [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}}, {"type": "portmap"}]}',
            ["10.1.0.0/24", "fd00::/64"],
        ),
        ('{"type": "x", "ipam": {"type": "host-local", "subnet": "usePodCidr"}}', []),
        ('{"type": "x", "ipam": {"type": "dhcp", "subnet": "10.1.0.0/24"}}', []),
        ('{"type": "x", "ipam": {"type": "host-local", "ranges": [null, 7, [8]]}}', []),
        (
            '{"type": "x", "ipam": {"type": "host-local", "ranges": 7, "subnet": "10.1.0.0/24"}}',
            ["10.1.0.0/24"],
        ),
        ('{"type": "x", "ipam": {"type": "host-local", "ranges": true, "subnet": 5}}', []),
        ('{"name": "n", "plugins": 7}', []),
        ("[1, 2]", []),
        ("{broken", []),
    ],
)
def test_cni_configurations(text: str, subnets: list[str]) -> None:
    ending = "conflist" if '"plugins"' in text else "conf"
    facts = read(f"== cni /etc/cni/net.d/x.{ending}\n{text}\n== answering\n")
    assert [str(n) for claim in facts.claims for n in claim.networks] == subnets


@pytest.mark.parametrize(
    ("line", "networks"),
    [
        ("10.1.0.0/24", ["10.1.0.0/24"]),
        ("'10.1.0.0/24,fd00::/64'", ["10.1.0.0/24", "fd00::/64"]),
        ('""', []),
        ("10.1.0.1/24", ["10.1.0.0/24"]),
        ("${POD_CIDR}", []),
    ],
)
def test_kubelets_pod_cidr(line: str, networks: list[str]) -> None:
    facts = read(f"== kubelet /var/lib/kubelet/config.yaml\n{line}\n== answering\n")
    assert [str(n) for claim in facts.claims for n in claim.networks] == networks


def test_the_note_of_our_routes_holds_those_there_and_those_lost_before() -> None:
    noted = "unicast 10.200.1.0/24 via 10.240.0.7 dev enp6s0 proto 214 scope global"
    lost = "10.200.2.0/24 via 10.240.0.8 dev enp6s0 proto 214"
    answer = f"== kept 4\n{lost}\n== kept 4\n{noted}\n== kept 6\n== answering\n"
    assert [str(r) for r in read(answer).recorded] == [
        lost.removesuffix(" proto 214"),
        "10.200.1.0/24 via 10.240.0.7 dev enp6s0",
    ]


def test_what_a_run_changed_is_read_as_it_was_written() -> None:
    puts = (parse("10.200.1.0/24 via 10.240.0.7 dev e0 proto 214", 4),)
    takes = (parse("fd00:200:1::/64 via fd00::9 dev e0 proto 214 metric 1024", 6),)
    lines = "\n".join(last_lines(puts, takes))
    facts = read(f"== last\n{RUN}\nworker-0\n{lines}\n== answering\n")
    assert facts.last is not None
    assert facts.last.run == RUN
    for found, written in ((facts.last.puts, puts), (facts.last.takes, takes)):
        assert [replace(r, text="") for r in found] == [replace(r, text="") for r in written]


RUN = "20260101T000000.000001"


@pytest.mark.parametrize(
    ("section", "lines"),
    [
        ("last", ["99991231T000000", "worker-0"]),
        ("last", [f"{RUN} ", "worker-0"]),
        ("last", ["\u0662\u0660260101T000000.1", "worker-0"]),
        ("last", [RUN, "worker-0 $(reboot)"]),
        ("last", [RUN, "worker-0", "put 10.200.1.0/33 via 10.240.0.7 dev e0 proto 214"]),
        ("run", []),
        (f"run {RUN}; reboot", []),
        (f"run {RUN} {RUN[:8]}", []),
        (f"displaced /x/{RUN};reboot_4_10.200.1.0-24_static.text", []),
    ],
)
def test_a_record_of_a_run_that_cannot_be_read_is_none(section: str, lines: list[str]) -> None:
    found = read("\n".join([f"== {section}", *lines, "== answering\n"]))
    assert (found.last, found.runs, found.displaced) == (None, (), ())


@pytest.mark.parametrize(
    ("times", "run", "machines", "said"),
    [
        ("pending 42", "run", "worker-0", "/run/pod-routes/pending on it: not the name of a run"),
        ("undoing 42", "run\x1b[2J", "worker-0", '/run/pod-routes/undoing on it: .* "run\\?\\[2J"'),
        ("pending 99999999999999", RUN, "worker-0", "not a number"),
        ("pending ", RUN, "worker-0", "not a number"),
        ("pending 42", RUN, "worker-0 %", "not the name of a machine"),
    ],
)
def test_a_change_that_waits_and_cannot_be_read_is_said_where(
    times: str, run: str, machines: str, said: str
) -> None:
    answer = "\n".join(["== pending", times, run, "12:00:00", "ann", "1 add", machines])
    with pytest.raises(ValueError, match=said):
        read(f"{answer}\n== answering\n")


def test_what_is_said_of_a_change_that_waits_can_be_printed() -> None:
    lines = ["pending -5", RUN, "\x1b]0;12:00\x07", "an\u202en" * 999, "1\x9badd", "worker-0"]
    found = read("\n".join(["== pending", *lines, "== answering\n"])).pending
    assert found is not None
    assert found.seconds == -5
    assert all(t.isprintable() and len(t) <= 200 for t in (found.since, found.who, found.what))


SECTIONS = st.sampled_from(
    [
        "route 4",
        "route 6",
        "rule 4",
        "rule 6",
        "address",
        "bridge",
        "kubelet /x",
        "cni /x",
        "client",
        "reserved",
        "displaced /a_4_b_c.text",
        "displaced /x.text",
        "pending",
        "last",
        "missing",
    ]
)
LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=4)


@given(st.lists(st.tuples(SECTIONS, LINES), max_size=6))
def test_nonsense_is_a_value_error_or_facts(found: list[tuple[str, list[str]]]) -> None:
    answer = "".join(f"== {name}\n" + "\n".join(lines) + "\n" for name, lines in found)
    with contextlib.suppress(ValueError):
        assert isinstance(read(answer + "== answering\n"), Facts)


WORDS = st.sampled_from(
    "type host-local ipam ranges subnet plugins bridge mtu ipMasq 10.1.0.0/24 fd00::/64".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 70000) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
)


@given(JSON, JSON)
def test_any_cni_configuration_is_read(config: object, ranges: object) -> None:
    ipam = {"type": "bridge", "ipam": {"type": "host-local", "ranges": ranges}}
    for value in (config, ipam):
        facts = read(f"== cni /etc/cni/net.d/x.conf\n{json.dumps(value)}\n== answering\n")
        assert {str(n) for c in facts.claims for n in c.networks} <= {"10.1.0.0/24", "fd00::/64"}


FLANNEL = '{"name": "f", "plugins": [{"type": "flannel", "delegate": {"isDefaultGateway": true}}]}'
BRIDGE = (
    '{"name": "b", "type": "bridge", "bridge": "cnio0",'
    ' "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}'
)
OTHER = BRIDGE.replace("10.1.0.0/24", "10.85.0.0/16").replace("cnio0", "other")
LISTED = f'{{"name": "l", "plugins": [{BRIDGE}, {{"type": "portmap"}}]}}'
MULTUS = '{"name": "m", "type": "multus", "delegates": [%s]}'


@pytest.mark.parametrize(
    ("files", "subnet", "bridge"),
    [
        ({"10-flannel.conflist": FLANNEL, "100-crio-bridge.conflist": LISTED}, "", "cni0"),
        (
            {"10-x.conflist": FLANNEL.replace('isDefaultGateway": true', 'bridge": "kube0"')},
            "",
            "kube0",
        ),
        ({"10-b.conf": BRIDGE, "100-crio-bridge.conf": OTHER}, "10.1.0.0/24", "cnio0"),
        (
            {"10-b.json": BRIDGE, "09-z.conflist": LISTED.replace("10.1", "10.2")},
            "10.2.0.0/24",
            "cnio0",
        ),
        ({"05-b.conf": "{broken", "10-b.conf": BRIDGE, "20-c.conf": OTHER}, "10.1.0.0/24", "cnio0"),
        (
            {"05-b.conf": LISTED.replace("10.1", "10.2"), "10-b.conf": BRIDGE},
            "10.1.0.0/24",
            "cnio0",
        ),
        ({"05-b.conflist": OTHER, "10-b.conf": BRIDGE}, "10.1.0.0/24", "cnio0"),
        (
            {"05-b.conflist": LISTED.replace('"name": "l", ', ""), "10-b.conf": BRIDGE},
            "10.1.0.0/24",
            "cnio0",
        ),
        (
            {"05-b.conflist": '{"name": "e", "plugins": []}', "10-b.conf": BRIDGE},
            "10.1.0.0/24",
            "cnio0",
        ),
        (
            {"05-b.conf": OTHER.replace('"type": "bridge",', ""), "10-b.conf": BRIDGE},
            "10.1.0.0/24",
            "cnio0",
        ),
        ({"00-multus.conf": MULTUS % LISTED, "10-b.conf": OTHER}, "10.1.0.0/24", "cnio0"),
        ({"00-multus.conf": MULTUS % BRIDGE, "10-b.conf": OTHER}, "10.1.0.0/24", "cnio0"),
        (
            {"00-multus.conf": MULTUS.replace("[%s]", "7"), "10-b.conf": BRIDGE},
            "10.1.0.0/24",
            "cnio0",
        ),
        (
            {
                "10-calico.conflist": '{"name": "c", "plugins": [{"type": "calico"}]}',
                "20-b.conf": BRIDGE,
            },
            "",
            "",
        ),
        ({}, "", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_the_cni_configuration_in_use_is_the_first_valid_one(
    files: dict[str, str], subnet: str, bridge: str
) -> None:
    """As containerd and CRI-O choose it; the others say nothing about the machine's pods."""
    told = "".join(f"== cni /etc/cni/net.d/{name}\n{text}\n" for name, text in files.items())
    facts = read(f"{told}== answering\n")
    assert [str(n) for claim in facts.claims for n in claim.networks] == (
        [subnet] if subnet else []
    )
    assert facts.pod_bridge == bridge


@pytest.mark.parametrize(
    ("bridge", "address", "named", "found", "claims"),
    [
        ("cbr0", "10.200.0.1/24", False, "cbr0", 1),  # kubenet's
        ("docker0", "10.200.0.1/24", False, "docker0", 1),  # Docker's with --bip
        ("cbr0", "10.200.9.1/24", False, "cbr0", 1),  # of an old pod CIDR
        ("docker0", "172.17.0.1/16", False, "", 0),
        ("docker0", "10.200.16.1/20", False, "", 0),  # inside pod_networks, and no pod CIDR
        ("br0", "10.200.77.6/24", False, "", 0),  # an uplink, where pod_networks hold the nodes'
        ("br1", "10.200.78.6/24", False, "", 0),  # a node's address
        ("docker0", "10.200.0.1/24", True, "docker0", 1),  # cnio0 is named, and is not there
        ("cnio0", "10.200.9.1/24", True, "cnio0", 1),
        ("cbr0", "10.200.9.1/24", True, "cnio0", 0),
    ],
)
def test_the_bridge_of_the_pods_is_known_from_addresses_too(
    bridge: str, address: str, named: bool, found: str, claims: int
) -> None:
    of = Known(
        (ip_network("10.200.0.0/24"),),
        (ip_network("10.200.0.0/16"),),
        (ip_network("10.200.78.0/24"),),
    )
    answer = (
        f"== address\n3: {bridge}    inet {address} scope global {bridge}\n"
        f"== bridge\n3: {bridge}: <BROADCAST> mtu 1400 qdisc noqueue state DOWN\n"
        "== route 4\nunicast default via 10.200.77.1 dev br0 table main proto static\n"
        + ("== cni /etc/cni/net.d/10-b.conf\n" + BRIDGE * named + "\n")
        + "== reserved\n10.200.0.2\n== answering\n"
    )
    facts = read(answer, of)
    assert facts.pod_bridge == found
    assert len([c for c in facts.claims if c.place == f"the address of {bridge}"]) == claims
    assert facts.pod_mtu == (1400 if found == bridge else 1500)
    assert facts.bridgeless is (named and found == "cnio0" != bridge)


@pytest.mark.parametrize(
    ("named", "bridge"),
    [
        ("cnio0", "cnio0"),
        ("br-0.7", "br-0.7"),
        ("\x1b[2Jcni", "cni0"),
        ("cni0; reboot", "cni0"),
        ("a-name-of-16-char", "cni0"),
        (["cni1"], "cni0"),
        (None, "cni0"),
    ],
)
def test_a_bridge_is_named_as_links_are(named: object, bridge: str) -> None:
    subnet = {"type": "host-local", "subnet": "10.1.0.0/24"}
    config = json.dumps({"type": "bridge", "bridge": named, "ipam": subnet})
    assert read(f"== cni /etc/cni/net.d/x.conf\n{config}\n== answering\n").pod_bridge == bridge


def test_another_hands_file_among_the_displaced_routes_is_passed_over() -> None:
    answer = "== displaced /run/pod-routes/displaced/notes.text\nremember the milk\n== answering\n"
    assert read(answer).displaced == ()


def test_an_address_that_names_an_interface_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not an address"):
        read("== address\n2: eth0    inet6 fd00::1%\x1b[31m/64 scope global\n== answering\n")


@given(st.text())
def test_an_answer_that_breaks_off_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="breaks off"):
        read(text.replace("== answering", ""))


@pytest.mark.parametrize(
    ("rules", "tables"),
    [
        ("100:\tnot from 10.99.0.0/16 lookup 100", ["100"]),
        ("100:\tnot from all fwmark 0xca6c lookup 51820", ["51820"]),
        ("100:\tfrom all fwmark 0xca6c lookup 51820", []),
        ("100:\tfrom all goto 32766", []),
        ("100:\tfrom all nop", []),
        ("100:\tfrom all oif eth9 lookup 100", []),
        ("100:\tfrom all lookup main suppress_prefixlength 0\n101:\tfrom all lookup 100", []),
        ("100:\tfrom all lookup main suppress_prefixlength 24\n101:\tfrom all lookup 100", ["100"]),
    ],
)
def test_policy_rules_that_come_before_the_main_table(rules: str, tables: list[str]) -> None:
    facts = read(f"== rule 4\n{rules}\n32766:\tfrom all lookup main\n== answering\n")
    assert [rule.table for rule in facts.rules] == tables


def test_only_files_that_may_be_ours_are_taken_for_such() -> None:
    ours = "/etc/systemd/network/eth0.network.d/50-pod-routes.conf"
    others = ("/etc/passwd", ours.replace("eth0", "x" * 400), ours.replace("eth", "\t"))
    text = "".join(f"== file {path}\n|text\n" for path in (ours, *others))
    assert read(f"{text}== answering\n").files == {ours: "text\n"}
