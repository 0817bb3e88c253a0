"""A copy of machines from their snapshot: what their kernels hold, and nothing of a file is run.

docs/rehearse.md has every fault of docs/diagnosis.md on a copy, by a command: tests/lab/copies.py.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.common.errors import Stop

from .conftest import Lab, MakeDirectory, MakeLab, labs
from .copies import copied, held
from .kit import dual_stack, ok, on
from .random_machines import compare
from .test_diagnosis import put_routes

# What a machine may have that a clean one has not. A line each.
ODD = r"""
ip route add 10.99.0.0/16 via 10.240.0.99
ip route add blackhole 10.98.0.0/16
ip route add prohibit 10.97.0.0/16 metric 7
ip route add 10.96.0.0/16 nexthop via 10.240.0.50 weight 3 nexthop via 10.240.0.51
ip route add unreachable default table 77
ip route add throw 10.0.0.0/8 table 78
ip route add 10.95.0.0/16 via 10.240.0.50 mtu lock 1300 advmss 1000 table 78
ip route add 10.94.0.0/16 via 10.240.0.50 tos 0x10
ip route add 10.94.0.0/16 via 10.240.0.51
ip route append 10.94.0.0/16 via 10.240.0.52
ip route add 10.93.0.0/16 via 10.240.0.50 src 10.240.0.7 proto 214
ip addr add 172.20.0.1/32 dev lo
ip addr add 10.55.0.1 peer 10.55.0.2/32 dev enp6s0
ip addr add 10.240.0.77/24 dev enp6s0 label enp6s0:1
ip addr add 192.168.7.1/24 dev enp6s0 noprefixroute
ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up
ip addr add 192.168.8.1/24 dev d0
ip route add 10.92.0.0/16 via 192.168.8.9; ip route del 192.168.8.0/24 dev d0
ip link add br9 mtu 1400 type bridge; ip link set br9 up; ip addr add 192.168.9.1/24 dev br9
ip link add vx type vxlan id 5 dstport 8472 dev enp6s0; ip link set vx up
ip rule add from 10.200.0.0/16 lookup 77 pref 99
ip rule add not fwmark 0x3/0xff lookup 78 pref 98
ip rule add iif enp6s0 to 10.1.0.0/16 blackhole pref 97
ip -6 rule add from fd00::/8 lookup 77 pref 50
ip -6 route add blackhole 2001:db8::/32
ip -6 route add fd55::/64 via fd00:240::6 metric 5
ip -6 route add fd56::/64 nexthop via fd00:240::6 dev enp6s0 nexthop via fd00:240::8 dev enp6s0
ip neigh replace 10.240.0.99 lladdr 02:00:00:00:00:99 dev enp6s0 nud permanent
ip neigh add proxy 10.240.0.98 dev enp6s0
echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
echo 2 >/proc/sys/net/ipv4/conf/enp6s0/rp_filter
echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding
echo 0 >/proc/sys/net/ipv6/conf/enp6s0/accept_redirects
iptables -N MINE; iptables -A FORWARD -j MINE; iptables -P FORWARD DROP
iptables -A MINE -s 10.0.0.0/8 -m comment --comment "it's \"so\" - x" -j ACCEPT
iptables -t nat -A POSTROUTING -s 10.200.0.0/16 ! -d 10.0.0.0/8 -j MASQUERADE
iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
iptables-legacy -A INPUT -s 192.0.2.0/24 -p tcp -m multiport --dports 22,23 -j DROP
ip6tables -A FORWARD -s fd99::/64 -j REJECT --reject-with icmp6-adm-prohibited
nft 'add table inet mine; add set inet mine s { type ipv4_addr; flags interval; }'
nft 'add element inet mine s { 10.1.0.0/16, 10.2.0.1-10.2.0.9 }'
nft 'add chain inet mine c { type filter hook forward priority 5; policy accept; }'
nft 'add rule inet mine c ip saddr @s counter drop comment "hello # world"'
"""


@dataclass(frozen=True)
class Pair:
    """A lab with an odd machine, and its copy. `told`: what it says that it lacks."""

    original: Lab
    copy: Lab
    told: list[str]
    file: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: MakeDirectory) -> Iterator[Pair]:
    """A twin with an odd machine, and its copy from what its machines say."""
    with labs(tmp_path_factory) as make:
        lab = make(dual_stack(3))
        put_routes(lab)
        for line in ODD.strip().splitlines():
            on(lab, "worker-1", line)
        with copied(lab, tmp_path_factory) as (copy, told):
            yield Pair(lab, copy, told, copy.dir / "snapshot.json")


def test_the_kernels_of_the_copy_say_what_those_of_the_original_say(pair: Pair) -> None:
    for host in pair.original.twin.spec.hosts:
        original, copy = held(pair.original, host.name), held(pair.copy, host.name)
        assert original.keys() == copy.keys()
        for what, lines in original.items():
            assert copy[what] == lines, f"{host.name}: {what}"


def test_what_is_no_copy_is_told_and_nothing_else(pair: Pair) -> None:
    assert pair.told == [
        "worker-1: vx is of the kind vxlan: one that leads nowhere stands in for it"
    ]


def test_random_machines_and_their_copies_hold_the_same(
    make_lab: MakeLab, tmp_path_factory: MakeDirectory
) -> None:
    """The short form of `make copies`."""
    result = compare(make_lab, tmp_path_factory, rounds=2, at_once=3, first=7)
    assert result.machines == 6
    assert result.differs == []


def test_a_rehearsal_of_a_file_needs_nothing_else(pair: Pair) -> None:
    """The copy has what is in the way of a change, and what makes pods silent."""
    rehearse = ("rehearse", "--snapshot", str(pair.file))
    done = pair.original.fab(*rehearse, "apply-routes", "--yes")
    ok(done, status=1)
    assert "worker-1: conflict at 10.200.0.0/24: policy rule 99" in done.stdout + done.stderr
    assert "not copied of worker-1: vx is of the kind vxlan" in done.stderr
    assert "not copied: the network between the machines" in done.stderr
    done = pair.original.fab(*rehearse, "verify")
    ok(done, status=5)
    assert "a policy rule on worker-1 diverts pod traffic before the main table" in done.stdout


def test_the_machines_themselves_are_only_asked(pair: Pair) -> None:
    """The change is made on the copy."""
    before = pair.original.tables()
    done = pair.original.fab("rehearse", "--live", "rollback", "--yes", "plan")
    ok(done)
    assert "deleted on 4 machines" in done.stdout
    assert "to add" in done.stdout
    assert pair.original.tables() == before


def test_an_anonymous_copy_behaves_as_the_original(pair: Pair) -> None:
    file = pair.original.dir / "anonymous.json"
    ok(pair.original.fab("snapshot", str(file), "--anonymous"))
    assert "it's" not in file.read_text()
    done = pair.original.fab("rehearse", "--snapshot", str(file), "plan")
    assert " to add" in ok(done)


def test_mistakes_end_in_plain_lines(pair: Pair, tmp_path: Path) -> None:
    lab, file = pair.original, str(pair.file)
    for words, line in (
        (["--snapshot", str(tmp_path / "none"), "plan"], "none: cannot be read: No such file"),
        (["--snapshot", str(lab.cluster.path), "plan"], "is no JSON"),
        (["--snapshot", file, "--live", "plan"], "choose one"),
        (["--snapshot", file], "rehearse what?"),
        (["--snapshot", file, "--inventory", "x", "plan"], "leave out --inventory"),
    ):
        done = lab.fab("rehearse", *words)
        ok(done, status=1)
        assert line in done.stderr
    done = lab.fab("snapshot", "/proc/none/x")
    ok(done, status=1)
    assert "cannot be written" in done.stderr


HARM = (
    (
        "iptables-nft",
        "*filter\n-A INPUT -M /tmp/evil -m x -j DROP\nCOMMIT",
        "a line of its firewall",
    ),
    ("iptables-legacy", "*filter\n-A INPUT -m nosuchmatch -j DROP\nCOMMIT", "not known here"),
    ("nft", 'table ip x {\n\tinclude "/etc/shadow"\n}', "a table of nft"),
    ("ip6tables-nft", "*nosuchtable\nCOMMIT", "table nosuchtable"),
)


def test_a_hostile_file_does_no_harm(pair: Pair, tmp_path: Path) -> None:
    """Its firewalls are left out and told, and the copy is up all the same."""
    found = json.loads(pair.file.read_text())
    state = found["machines"][1]["state"]
    state["firewalls"] = [{"program": p, "listing": text} for p, text, _ in HARM]
    state["links"][1]["mtu"] = 1 << 30
    state["links"][2]["index"] = 1
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(found))
    done = pair.original.fab("rehearse", "--snapshot", str(file), "plan", "--skip-unreachable")
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    for _, _, told in HARM:
        assert told in said
    assert "without the link eth0" in said
    assert "worker-0" in done.stdout


def test_a_machine_that_cannot_be_asked_stops_it(pair: Pair, tmp_path: Path) -> None:
    on(pair.copy, "worker-2", "kill $(cat /run/sshd.pid)")
    done = pair.copy.fab("snapshot", str(tmp_path / "x.json"))
    ok(done, status=1)
    assert "1 of 4 machines cannot be asked; nothing was changed" in done.stderr
    assert not (tmp_path / "x.json").exists()
    with pytest.raises(Stop, match="cannot be asked"), copied(pair.copy, _Here(tmp_path)):
        pass


@dataclass(frozen=True)
class _Here:
    root: Path

    def mktemp(self, basename: str) -> Path:
        """A directory there."""
        made = self.root / basename
        made.mkdir()
        return made
