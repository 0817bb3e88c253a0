"""Evidence: the script that asks for it, and what is read of it."""

from pathlib import Path

import pytest

from tasks.diagnosis.condition import Packet
from tasks.diagnosis.evidence import SCRIPT, Link, read_evidence
from tasks.diagnosis.walk import judge
from tests.scripts import answer, stub

BEFORE = """ip link set lo up
ip link add cni0 type bridge
ip link add enp6s0 mtu 1400 type veth peer name far
ip link set enp6s0 up
ip link set cni0 up
ip link add a.b type bridge
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv4/conf/enp6s0/forwarding
echo 1 >/proc/sys/net/ipv4/conf/cni0/rp_filter
iptables -P FORWARD DROP
ip6tables -A FORWARD -s fd00::/64 -j DROP
nft 'add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }'"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_a_machine_says_what_stands_in_the_way(shell: str, tmp_path: Path) -> None:
    found = read_evidence(answer(SCRIPT, tmp_path, before=BEFORE, shell=shell))
    assert found.links["enp6s0"] == Link(on=True, carrier=False, mtu=1400)
    assert found.links["cni0"] == Link(on=True, carrier=True, mtu=1500)
    assert found.links["a.b"] == Link(on=False, carrier=True, mtu=1500)
    assert found.links["lo"].mtu == 65536
    assert found.no_forwarding(4) == ""
    assert found.no_forwarding(4, "enp6s0") == "net.ipv4.conf.enp6s0.forwarding"
    assert found.strict("cni0") == "net.ipv4.conf.cni0.rp_filter"
    for family, program in ((4, "iptables"), (6, "ip6tables")):
        firewall = found.firewalls[family]
        assert firewall.complete
        assert (f"{program} filter", "FORWARD") in firewall.bases
        assert ("nft, inet t", "c") in firewall.bases
        assert f"{program}-legacy filter" not in {table for table, _ in firewall.chains}
    assert found.firewalls[6].chains["ip6tables filter", "FORWARD"].listed == [
        "[0:0] -A FORWARD -s fd00::/64 -j DROP"
    ]


LINK = "2: eth0@if7: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP"


@pytest.mark.parametrize(
    ("line", "links"),
    [
        (LINK, {"eth0": Link(on=True, carrier=True, mtu=1500)}),
        (LINK.replace("1500", "0"), {"eth0": Link(on=True, carrier=True, mtu=0)}),
        (LINK.replace("1500", "9" * 5000), {}),
        (LINK.replace("1500", "-1"), {}),
        (LINK.replace("1500", "\u0661\u0665"), {}),
        (LINK.replace("eth0", "eth0$(id)/x"), {}),
        (LINK.replace("eth0", "e" * 16), {}),
        (LINK.replace("eth0@if7:", "..:"), {}),
        ("2: eth0: <UP> mtu", {}),
        ("", {}),
    ],
)
def test_a_link_that_cannot_be_read_is_left_out(line: str, links: dict[str, Link]) -> None:
    assert read_evidence(f"== link\n{line}\n== end\n").links == links


@pytest.mark.parametrize(
    ("line", "sysctls"),
    [
        ("ipv4/ip_forward:1", {"ipv4/ip_forward": 1}),
        ("ipv4/ip_forward:" + "1" * 5000, {}),
        ("ipv4/ip_forward:\u0661", {}),
        ("ipv4/ip forward:1", {}),
        ("1", {}),
    ],
)
def test_a_setting_that_cannot_be_read_is_left_out(line: str, sysctls: dict[str, int]) -> None:
    assert read_evidence(f"== sysctl\n{line}\n== end\n").sysctls == sysctls


def test_a_map_that_leads_to_many_chains_is_no_line_without_end(tmp_path: Path) -> None:
    """As kube-proxy has one for each service, with a chain for each of its endpoints."""
    chains = "\n".join(f"add chain ip t e{n}\nadd rule ip t e{n} drop" for n in range(2000))
    ways = ", ".join(f"{n} : goto e{n}" for n in range(2000))
    rules = f"""nft -f - <<'END'
add table ip t
add chain ip t c {{ type filter hook forward priority 0; }}
{chains}
add rule ip t c numgen random mod 2000 vmap {{ {ways} }}
END"""
    found = read_evidence(answer(SCRIPT, tmp_path, before=rules)).firewalls[4]
    packet = Packet({}, frozenset({"forward"}))
    assert len(judge(found, packet).possible) == 2000


def test_what_is_not_listed_in_full_is_known_to_be_missing(tmp_path: Path) -> None:
    before = "nft 'add table inet t; add set inet t s { type ipv4_addr; }'"
    short = SCRIPT.replace("most=6000000", "most=90")
    assert short != SCRIPT
    found = read_evidence(answer(short, tmp_path, before=before))
    assert [found.firewalls[family].complete for family in (4, 6)] == [False, False]
    stub(tmp_path, "nft", "exit 1")
    found = read_evidence(answer(SCRIPT, tmp_path))
    assert not found.firewalls[4].complete


def test_reading_makes_no_table_of_the_other_backend(tmp_path: Path) -> None:
    names = "cat /proc/net/ip_tables_names"
    said = answer(SCRIPT, tmp_path, before="iptables-legacy -P FORWARD DROP", after=names)
    assert said.endswith("\n== end\nfilter\n")
    assert ("iptables-legacy filter", "FORWARD") in read_evidence(said).firewalls[4].bases


# A machine without a program, whose kernel has nf_tables as a module.
WITHOUT = """command() { [ "$2" != %s ] && type "$2"; }
grep() { case "$*" in */proc/modules*) ;; *) env grep "$@" ;; esac; }
iptables-legacy -P FORWARD DROP"""


@pytest.mark.parametrize("program", ["nft", "iptables-legacy-save"])
def test_tables_that_no_program_reads_are_known_to_be_missing(program: str, tmp_path: Path) -> None:
    found = read_evidence(answer(SCRIPT, tmp_path, before=WITHOUT % program))
    assert not found.firewalls[4].complete
    assert found.firewalls[6].complete == (program != "nft")
