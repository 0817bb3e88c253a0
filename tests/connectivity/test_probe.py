import shutil
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.connectivity.ping import Target, ping_script, read_report
from tasks.connectivity.probe import full_pod_cidrs, probes
from tasks.facts.model import Facts
from tasks.ssh.answer import sections
from tests.builders import facts, machine
from tests.scripts import answer, stub


@pytest.mark.parametrize(
    ("cidr", "taken", "address"),
    [
        ("10.200.0.0/24", [], "10.200.0.254"),
        ("10.200.0.0/24", ["10.200.0.254", "10.200.0.253"], "10.200.0.252"),
        ("10.200.0.0/30", [], "10.200.0.2"),
        ("10.200.0.0/30", ["10.200.0.2", "10.200.0.1"], None),
        ("10.200.0.0/20", [f"10.200.{n // 256}.{n % 256}" for n in range(2, 4095)], "10.200.0.1"),
        ("10.200.0.0/31", [], "10.200.0.1"),
        ("10.200.0.0/32", [], None),
        ("fd00:200::/64", [], "fd00:200::ffff:ffff:ffff:feff"),
        ("fd00:200::/126", [], "fd00:200::2"),
        ("fd00:200::/127", [], "fd00:200::1"),
        ("fd00:200::/128", [], None),
        ("::/64", [], "::ffff:ffff:ffff:feff"),
    ],
)
def test_a_probe_has_a_free_address_at_the_top(
    cidr: str, taken: list[str], address: str | None
) -> None:
    worker = replace(machine(0), pod_cidrs=(ip_network(cidr),))
    asked = facts(0, reserved=frozenset(map(ip_address, taken)))
    found = probes(worker, asked)
    assert [str(p.address) for p in found] == ([address] if address else [])
    assert full_pod_cidrs(worker, found) == ([] if address else [ip_network(cidr)])


@given(st.ip_addresses(v=6), st.integers(2, 128))
def test_a_probe_is_never_of_ipv6s_reserved_addresses(start: object, length: int) -> None:
    """RFC 4291, 2.6.1, and RFC 2526: the first of a subnet, and in a /64 the last 128."""
    cidr = ip_network(f"{start}/{length}", strict=False)
    for probe in probes(replace(machine(0), pod_cidrs=(cidr,)), facts(0)):
        assert probe.address in cidr
        assert probe.address != cidr[0]
        assert length > 64 or int(cidr[-1]) - int(probe.address) >= 128


def test_a_probe_is_on_the_bridge_only_where_all_its_families_are() -> None:
    worker = machine(0, families=(4, 6))
    four, six = ("cni0", ip_interface("10.200.0.1/24")), ("cni0", ip_interface("fd00:200::1/64"))
    both = probes(worker, facts(0, addresses=(four, six)))
    assert [str(p.gateway) for p in both] == ["10.200.0.1", "fd00:200::1"]
    one = probes(worker, facts(0, addresses=(four,)))
    assert [p.gateway for p in one] == [None, None]


FAMILIES = (4, 6)
BRIDGE = facts(
    0,
    families=FAMILIES,
    addresses=(
        ("cni0", ip_interface("10.200.0.1/24")),
        ("cni0", ip_interface("fd00:200::1/64")),
    ),
)
# The machine: an address of each family, and a bridge where pods would be.
MACHINE = """ip link set lo up
ip addr add 10.240.0.6/32 dev lo
ip addr add fd00:240::6/128 dev lo nodad"""
WITH_BRIDGE = f"""{MACHINE}
ip link add cni0 type bridge
ip addr add 10.200.0.1/24 dev cni0
ip addr add fd00:200::1/64 dev cni0 nodad
ip link set cni0 up"""
GATEWAYS = {4: ip_address("10.240.0.6"), 6: ip_address("fd00:240::6")}


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
@pytest.mark.parametrize(
    ("before", "asked", "wired"),
    [(WITH_BRIDGE, BRIDGE, "bridge"), (MACHINE, facts(0, families=FAMILIES), "routed")],
)
def test_a_probe_is_reached_and_reaches_out(
    shell: str, before: str, asked: Facts, wired: str, tmp_path: Path
) -> None:
    own = probes(machine(0, families=FAMILIES), asked)
    targets = [
        target
        for probe in own
        for target in (
            Target("itself", probe.address, None),
            Target("machine", GATEWAYS[probe.address.version], probe.address),
        )
    ]
    said = answer(ping_script(own, asked, targets), tmp_path, before=before, shell=shell)
    report = read_report(said, targets)
    assert (report.wired, report.why) == (wired, "")
    assert [(p.worker, p.family, p.received, p.large) for p in report.pings] == [
        (target.worker, target.address.version, 3, True) for target in targets
    ]


def test_where_no_namespace_is_to_be_had_lo_stands_in_until_the_end(tmp_path: Path) -> None:
    stub(tmp_path, "unshare", "echo no; exit 1")
    own = probes(machine(0, families=FAMILIES), facts(0))
    targets = [Target("itself", probe.address, probe.address) for probe in own]
    left = "echo == left; ip -oneline address show dev lo scope global"
    script = ping_script(own, facts(0), targets)
    said = answer(script, tmp_path, before=MACHINE, after=left)
    report = read_report(said, targets)
    assert (report.wired, report.why) == ("lo", "no")
    assert [ping.received for ping in report.pings] == [3, 3]
    addresses = [line.split()[3] for line in sections(said)["left", ""]]
    assert addresses == ["10.240.0.6/32", "fd00:240::6/128"]


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    own = probes(machine(0, families=FAMILIES), BRIDGE)
    shows = "ip -oneline address; ip -oneline link; ip route show table all; ip neigh"
    shown = f"echo == shown; {{ {shows}; }} | grep -vE ' cni0 |: cni0:|^ff00'"
    script = ping_script(own, BRIDGE, [])
    before = sections(answer("main() { :; }", tmp_path, before=WITH_BRIDGE, after=shown))
    after = sections(answer(script, tmp_path, before=WITH_BRIDGE, after=shown))
    assert ("ready", "bridge") in after
    assert after["shown", ""] == before["shown", ""]


def test_a_ping_of_a_probe_hears_its_own_answers_only(tmp_path: Path) -> None:
    """Of 49 at once, each with the answers of all in its buffer, some lost their own."""
    group = "cat /proc/sys/net/ipv4/ping_group_range"
    stub(tmp_path, "ping", f'echo "$*" $({group}) >>seen\nexec {shutil.which("ping")} "$@"')
    own = probes(machine(0), BRIDGE)
    probe = own[0].address
    targets = [Target("itself", probe, None), Target("machine", GATEWAYS[4], probe)]
    before = f"{WITH_BRIDGE}\n{group} >>before"
    answer(ping_script(own, BRIDGE, targets), tmp_path, before=before)
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    machines = (tmp_path / "before").read_text().split()
    assert {tuple(line[-2:]) for line in seen if "-I" in line} == {("0", "0")}
    assert [line[-2:] for line in seen if "-I" not in line] == [machines, machines]


def test_a_bridge_that_follows_its_ports_stays_as_it_is(tmp_path: Path) -> None:
    """It would take a lower hardware address, or MTU, from a new port: its pods would lose packets.

    A bridge that an administrator has made, or kubenet or Docker, whose address nobody has set.
    """
    before = f"""{WITH_BRIDGE}
for pod in 1 2; do
  ip link add pod$pod address fe:ff:ff:ff:ff:f$pod type veth peer name eth$pod
  ip link set pod$pod master cni0 up
  ip link set eth$pod up
done"""
    show = "ip -oneline link show dev cni0 | sed 's/.* mtu \\([0-9]*\\) .* link.ether /\\1 /'"
    ping = shutil.which("ping")
    stub(tmp_path, "ping", f'{show} >>seen\nexec {ping} "$@"')
    asked = replace(BRIDGE, bridges={"cni0": 1500}, pod_mtu=1400)
    own = probes(machine(0, families=FAMILIES), asked)
    targets = [Target("itself", probe.address, None) for probe in own]
    said = answer(
        ping_script(own, asked, targets), tmp_path, before=f"{before}\n{show}>seen", after=show
    )
    lines = [*(tmp_path / "seen").read_text().splitlines(), said.splitlines()[-1]]
    assert ("ready", "bridge") in sections(said)
    assert len(lines) > 2
    assert {line.partition(" brd ")[0] for line in lines} == {"1500 fe:ff:ff:ff:ff:f1"}


def test_what_a_machine_calls_its_bridge_is_no_shell(tmp_path: Path) -> None:
    name = "a'b\"; touch owned; $(touch owned)`touch owned`\n touch owned"
    asked = replace(BRIDGE, pod_bridge=name, addresses=((name, ip_interface("10.200.0.1/24")),))
    own = probes(machine(0), asked)
    assert own[0].gateway is not None
    report = read_report(answer(ping_script(own, asked, []), tmp_path, before=MACHINE), ())
    assert report.wired == "lo"
    assert report.why
    assert not (tmp_path / "owned").exists()
