"""What a machine is asked for a snapshot, and what is read of its answer."""

from pathlib import Path

import pytest

from tasks.snapshots.gap import Gap
from tasks.snapshots.model import State
from tasks.snapshots.read import QUESTION, read_state
from tests.scripts import answer, stub

BEFORE = """ip link set lo up
ip link add name cni0 type bridge
ip link add name enp6s0 mtu 1400 type veth peer name far
ip link set enp6s0 up; ip link set cni0 up
ip addr add 10.240.0.6/24 dev enp6s0
ip route add blackhole 10.9.0.0/16 table 7 metric 3
ip rule add from 10.200.0.0/16 lookup 7 pref 99
ip neigh replace 10.240.0.9 lladdr 02:00:00:00:00:09 dev enp6s0 nud permanent
ip neigh add proxy 10.240.0.8 dev enp6s0
echo 1 >/proc/sys/net/ipv4/conf/cni0/rp_filter
iptables -P FORWARD DROP
iptables-legacy -A INPUT -s 192.0.2.0/24 -j DROP
nft 'add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }'
for place in /run /etc/cni /var/lib; do mkdir -p $place; mount -t tmpfs none $place; done
mkdir -p /etc/cni/net.d /var/lib/kubelet /var/lib/pod-routes /run/pod-routes/displaced
mkdir -p /var/lib/cni/networks/n; cd /var/lib/cni/networks/n; touch 10.200.0.2 lock; cd -
printf 'podCIDR: 10.200.0.0/24\\nheader: hunter2\\n' >/var/lib/kubelet/config.yaml
printf '{"type": "bridge", "bridge": "cni0", "token": "hunter2", "ipam": {"key": "hunter2"}}' \
  >/etc/cni/net.d/10-a.conf
printf 'key: hunter2' >/etc/cni/net.d/20-b.conf
printf '\\000\\001' >/run/pod-routes/displaced/1_4_10.0.0.0_3.save
echo 'kept' >/var/lib/pod-routes/owned; echo 'hunter2' >/var/lib/pod-routes/other"""


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_a_machine_says_what_it_holds_and_no_secret(shell: str, tmp_path: Path) -> None:
    said = answer(QUESTION, tmp_path, before=BEFORE, shell=shell)
    found = read_state(said)
    assert found.missing == ()
    links = {link.name: link for link in found.links}
    assert (links["enp6s0"].mtu, links["enp6s0"].carrier, links["enp6s0"].peer) == (
        1400,
        False,
        "far",
    )
    assert links["cni0"].kind == "bridge"
    assert links["enp6s0"].addresses[0].local == "10.240.0.6/24"
    assert "6 10.9.0.0/16 table 7 proto 3 scope 0 metric 3" in found.ipv4.routes
    assert "99:\tfrom 10.200.0.0/16 lookup 7 proto 0" in [r.strip() for r in found.ipv4.rules]
    assert {line.split()[0] for line in found.neighbours} == {"10.240.0.9", "10.240.0.8"}
    assert found.sysctls["ipv4/conf/cni0/rp_filter"] == "1"
    listings = {firewall.program: firewall.listing for firewall in found.firewalls}
    assert ":FORWARD DROP [0:0]" in listings["iptables-nft"]
    assert "-A INPUT -s 192.0.2.0/24 -j DROP" in listings["iptables-legacy"]
    assert "table inet t {" in listings["nft"]
    assert found.reserved == ("10.200.0.2",)
    files = {file.path: file.content for file in found.files}
    assert files["/run/pod-routes/displaced/1_4_10.0.0.0_3.save"] == b"\0\1"
    assert files["/var/lib/kubelet/config.yaml"] == b"podCIDR: 10.200.0.0/24\n"
    assert b'"bridge": "cni0"' in files["/etc/cni/net.d/10-a.conf"]
    assert files["/var/lib/pod-routes/owned"] == b"kept\n"
    assert "hunter2" not in repr(found)


def test_what_is_too_long_or_fails_is_said(tmp_path: Path) -> None:
    short = QUESTION.replace("most=1500000", "most=5000")
    assert short != QUESTION
    many = "for n in $(seq 250); do echo route add blackhole 10.8.$n.0/24; done | ip -batch -"
    found = read_state(answer(short, tmp_path, before=f"ip link set lo up; {many}"))
    assert Gap("IPv4 routes: not read in full", "0.0.0.0/0") in found.missing
    stub(tmp_path, "nft", "exit 1")
    assert Gap("nft: not read in full") in read_state(answer(QUESTION, tmp_path)).missing


def test_a_change_that_waits_is_said_and_not_copied(tmp_path: Path) -> None:
    before = "mount -t tmpfs none /run; mkdir -p /run/pod-routes/pending"
    found = read_state(answer(QUESTION, tmp_path, before=before))
    assert found.missing == (
        Gap("a change of this tool that waits to be confirmed", packets=False),
    )


def honest(tmp_path: Path) -> str:
    return answer(QUESTION, tmp_path, before=BEFORE)


def test_a_machine_that_lies_is_refused_or_what_it_says_is_left_out(tmp_path: Path) -> None:
    said = honest(tmp_path)
    for right, wrong in (
        ('"ifname": "enp6s0"', '"ifname": "a/b"'),
        ('"mtu": 1400', '"mtu": {}'),
        ("10.240.0.6", "10.240.0.6;id"),
        ("== end", "== ended"),
    ):
        assert right in said
        with pytest.raises(ValueError, match=r"."):
            read_state(said.replace(right, wrong))
    for right, wrong in (("10.9.0.0/16", "10.9.0.0/16;id"), ("lookup 7", "lookup 7;id")):
        found: State = read_state(said.replace(right, wrong))
        assert any("not" in gap.words for gap in found.missing)
        assert ";id" not in repr((found.ipv4, found.ipv6))
