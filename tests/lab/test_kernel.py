"""What is read of `ip route`, written back and restored, on a kernel's own table."""

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.common.script import script
from tasks.facts.gather import question
from tasks.facts.parse import read
from tasks.iproute.batch import without_volatile
from tasks.iproute.route import Route, parse
from tasks.rollout.readback import change_questions, undo_questions
from tasks.rollout.steps import Keep, Steps, restore, save
from tasks.undo.records import Displaced
from tests.builders import POD_NETWORKS

SETUP = """
link set lo up
link add e0 type veth peer name e1
link set e0 up
link set e1 up
addr add 10.240.0.6/24 dev e0
addr add fd00:240::6/64 dev e0 nodad
"""


@dataclass(frozen=True)
class Kernel:
    """A routing table of its own, in a network namespace that ends with its process."""

    pid: int

    def run(self, *command: str, stdin: bytes = b"") -> bytes:
        inside = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]
        return subprocess.run(inside, input=stdin, capture_output=True, check=True).stdout

    def batch(self, lines: str) -> None:
        self.run("ip", "-batch", "-", stdin=lines.encode())

    def show(self) -> list[str]:
        """Every line but for those that the kernel keeps of its own links."""
        lines = [
            line
            for family in ("-4", "-6")
            for line in self.run("ip", family, "-d", "-o", "route", "show", "table", "all")
            .decode()
            .splitlines()
        ]
        return [line for line in lines if " proto kernel " not in line and "nh_info" not in line]

    def routes(self) -> list[Route]:
        return [parse(line, 6 if "fd00:" in line else 4) for line in self.show()]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    holder = ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"]
    with subprocess.Popen(holder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            kernel = Kernel(process.pid)
            kernel.batch(SETUP)
            yield kernel
        finally:
            process.kill()


# Routes that differ from each other in as little as the kernel allows.
FOREIGN = """
route add 10.200.1.0/24 via 10.240.0.7 dev e0
route add 10.200.1.0/24 via 10.240.0.7 dev e0 metric 50
route add 10.200.1.0/24 via 10.240.0.7 dev e0 metric 51 proto static
route add 10.200.1.0/24 via 10.240.0.8 dev e0 metric 52 mtu lock 1400
route add 10.200.1.0/24 via 10.240.0.7 dev e0 tos 0x10
route add 10.200.1.0/25 via 10.240.0.7 dev e0 onlink
route add 10.200.1.7 via 10.240.0.7 dev e0
route add 10.200.1.0/24 via inet6 fe80::7 dev e0 metric 53
route add 10.200.1.0/24 dev e0 metric 54 src 10.240.0.6
route add 10.200.1.0/24 proto bgp metric 55 nexthop via 10.240.0.7 dev e0 weight 2 nexthop via 10.240.0.8 dev e0
route add 10.200.1.0/24 via 10.240.0.7 dev e0 proto 214 metric 56
route add blackhole 10.200.1.0/24 metric 57
route add unreachable 10.200.1.0/24 metric 58
route add prohibit 10.200.1.0/24 metric 59
route add throw 10.200.1.0/24 metric 60
route add 10.200.1.0/24 encap ip id 7 dst 192.0.2.1 dev e0 metric 61
route add fd00:200:1::/64 via fd00:240::7 dev e0
route add fd00:200:1::/64 via fd00:240::7 dev e0 metric 50 proto static mtu 1400
route add fd00:200:1::/64 via fe80::7 dev e0 metric 51
route add fd00:200:1::/64 proto bgp metric 52 nexthop via fd00:240::7 dev e0 nexthop via fd00:240::8 dev e0
route add fd00:200:1::/64 via fd00:240::7 dev e0 metric 53 expires 900
route add fd00:200:1::7 via fd00:240::7 dev e0
route add blackhole fd00:200:1::/64 metric 57
route add unreachable fd00:200:1::/64 metric 58
"""  # noqa: E501


def test_a_selector_deletes_its_route_and_no_other(kernel: Kernel) -> None:
    kernel.batch(FOREIGN)
    found = kernel.routes()
    assert len(found) == len(FOREIGN.strip().splitlines())
    while found:
        gone = found.pop(len(found) // 2)
        kernel.batch(f"route del {gone.selector}\n")
        left = [(r.key, r.hops, r.protocol, r.type) for r in kernel.routes()]
        assert left == [(r.key, r.hops, r.protocol, r.type) for r in found], gone.selector


def test_what_is_ours_is_added_again_as_it_was(kernel: Kernel) -> None:
    kernel.batch(
        "route add 10.200.1.0/24 via 10.240.0.7 dev e0 proto 214\n"
        "route add 10.200.2.0/24 via 10.240.0.7 dev e0 proto 214 metric 7\n"
        "route add blackhole 10.200.3.0/24 proto 214\n"
        "route add fd00:200:1::/64 via fd00:240::7 dev e0 proto 214\n"
        "route add fd00:200:2::/64 proto 214"
        " nexthop via fd00:240::7 dev e0 nexthop via fd00:240::8 dev e0\n"
    )
    before, ours = kernel.show(), kernel.routes()
    kernel.batch("".join(f"route del {r.selector}\n" for r in ours))
    assert kernel.show() == []
    kernel.batch("".join(f"route add {r.words}\n" for r in ours))
    assert kernel.show() == before


@pytest.mark.parametrize(
    "lines",
    [
        ["10.200.1.0/24 via 10.240.0.7 dev e0 proto static"],
        ["10.200.1.0/24 via 10.240.0.7 dev e0 metric 50 mtu lock 1400 src 10.240.0.6 proto static"],
        [
            "10.200.1.0/24 via 10.240.0.7 dev e0 proto static",
            "10.200.1.0/24 via 10.240.0.8 dev e0 metric 9 proto static",
        ],
        ["10.200.1.0/24 via 10.9.9.9 dev e0 onlink proto static"],
        ["10.200.1.0/24 via inet6 fe80::7 dev e0 proto static"],
        [
            "10.200.1.0/24 proto static nexthop via 10.240.0.7 dev e0 weight 3"
            " nexthop via 10.240.0.8 dev e0"
        ],
        ["10.200.1.0/24 encap ip id 7 dst 192.0.2.1 dev e0 proto static"],
        ["blackhole 10.200.1.0/24 proto static"],
        ["throw 10.200.1.0/24 metric 3 proto static"],
        ["fd00:200:1::/64 via fd00:240::7 dev e0 mtu 1400 metric 50 proto static"],
        ["fd00:200:1::/64 proto static nexthop via fd00:240::7 dev e0 nexthop via fe80::8 dev e0"],
        ["unreachable fd00:200:1::/64 proto static"],
    ],
    ids="; ".join,
)
def test_what_was_kept_comes_back_as_it_was(
    kernel: Kernel, lines: list[str], tmp_path: Path
) -> None:
    kernel.batch("".join(f"route add {line}\n" for line in lines))
    before, (found, *_) = kernel.show(), kernel.routes()
    keep = Keep("1_static", found.prefix, "static")
    there = f"cd {shlex.quote(str(tmp_path))}"
    kernel.run("sh", "-c", f"{there}; {save(keep)} >{keep.file}.save")
    kernel.batch("".join(f"route del {r.selector}\n" for r in kernel.routes()))
    assert kernel.show() == []
    kernel.run("sh", "-c", f"{there}; {restore(Displaced(keep.file, (found,)))}")
    assert kernel.show() == before


LINK = """link add down0 type veth peer name down1
link set down0 up
address add 10.99.0.1/24 dev down0
"""


@pytest.mark.parametrize(
    ("made", "line", "why"),
    [
        (
            "nexthop add id 5 via 10.240.0.7 dev e0\n",
            "10.200.1.0/24 nhid 5 proto static",
            "next hop object",
        ),
        (
            "nexthop add id 6 via fd00:240::7 dev e0\n",
            "fd00:200:1::/64 nhid 6 proto static",
            "next hop object",
        ),
        (LINK, "10.200.1.0/24 via 10.99.0.2 dev down0 proto static", "link is down"),
        (
            LINK,
            "10.200.1.0/24 proto static nexthop via 10.99.0.2 dev down0"
            " nexthop via 10.240.0.8 dev e0",
            "link is down",
        ),
        ("", "fd00:200:1::/64 via fd00:240::7 dev e0 expires 900 proto static", "expires"),
    ],
)
def test_what_the_kernel_does_not_put_back_is_known_for_it(
    kernel: Kernel, made: str, line: str, why: str, tmp_path: Path
) -> None:
    """Else a rollback, and the undo of the very change, would fail for ever."""
    kernel.batch(made)
    kernel.batch(f"route add {line}\n")
    before, found = kernel.show(), next(r for r in kernel.routes() if r.protocol == "static")
    assert why in found.unsaved
    keep = Keep("6_6_static" if found.prefix.version == 6 else "1_4_static", found.prefix, "static")
    there = f"cd {shlex.quote(str(tmp_path))}"
    kernel.run("sh", "-c", f"{there}; {save(keep)} >{keep.file}.save")
    kernel.batch(f"route del {found.prefix} proto static\n")
    restored = f"{there}; {restore(Displaced(keep.file, (found,)))} 2>/dev/null || true"
    kernel.run("sh", "-c", restored)
    assert kernel.show() != before


def test_a_machine_with_next_hop_objects_can_be_asked(kernel: Kernel) -> None:
    """FRR makes one for every route (zebra nexthop-group); `ip -details` tells of them apart."""
    kernel.batch(
        "nexthop add id 7 via 10.240.0.7 dev e0\n"
        "nexthop add id 8 via 10.240.0.8 dev e0\n"
        "nexthop add id 9 group 7/8\n"
        "route add 10.200.1.0/24 nhid 7 proto zebra\n"
        "route add 10.200.2.0/24 nhid 9 proto zebra\n"
    )
    answer = kernel.run("ip", "-4", "-details", "-oneline", "route", "show", "table", "all")
    facts = read(f"== route 4\n{answer.decode()}== answering\n")
    hops = {str(r.prefix): [str(h.via) for h in r.hops] for r in facts.routes if "nhid" in r.text}
    assert hops == {"10.200.1.0/24": ["10.240.0.7"], "10.200.2.0/24": ["10.240.0.7", "10.240.0.8"]}


OUTSIDE = """
route add 10.201.1.0/24 via 10.240.0.7 dev e0
route add 10.201.1.0/25 via 10.240.0.7 dev e0
route add fd00:201::/64 via fd00:240::7 dev e0
route add fd00:200:0:5::/64 via fd00:240::7 dev e0
route add fd00:200:0:0:6::/80 via fd00:240::7 dev e0
route add fd00:200:0:1:0:1:0:1/128 via fd00:240::7 dev e0
"""


def test_a_cluster_of_ipv4_alone_is_told_the_same_but_for_rules_and_pods_of_ipv6(
    kernel: Kernel,
) -> None:
    kernel.batch(
        f"{FOREIGN}{OUTSIDE}link add cni0 type bridge\n"
        "route add default via 10.240.0.1\nroute add default via fd00:240::1 dev e0\n"
        "route add unreachable fd09::/64\nroute add 10.201.3.0/24 via 10.240.0.7 table 77\n"
        "rule add to 10.201.3.0/24 lookup 77\n"
    )
    kernel.run("ip", "-6", "rule", "add", "to", "fd09::/64", "lookup", "77")
    answers = [
        kernel.run("sh", "-c", f"{question(networks, [], False)}\nmain").decode()
        for networks in (POD_NETWORKS[:1], POD_NETWORKS)
    ]
    one, two = map(read, answers)
    assert len({route.prefix.version for route in one.routes}) == 2
    assert one.routes == two.routes
    assert set(one.addresses) == set(two.addresses)
    assert one.bridges == two.bridges == {"cni0": 1500}
    assert one.gateways == two.gateways
    assert one.rules == two.rules[:1]
    assert one.snapshot == "".join(
        line for line in two.snapshot.splitlines(keepends=True) if "fd00:" not in line
    )


def test_what_stands_at_a_prefix_is_what_the_kernel_shows_at_it(kernel: Kernel) -> None:
    """Else an undo would take a table for what it was before, and do nothing."""
    kernel.batch(FOREIGN + OUTSIDE)
    prefixes = tuple(dict.fromkeys(route.prefix for route in kernel.routes()))
    for some in (*((prefix,) for prefix in prefixes), prefixes):
        asked = [
            kernel.run(*f"ip -{p.version} -N -d -o route show table main exact {p}".split())
            for p in some
        ]
        lines = b"".join(asked).decode().splitlines()
        wanted = "".join(f"{without_volatile(line)}\n" for line in lines)
        there = Steps((), (), prefixes=some)
        look = script(
            "undo/recovery.sh", "rollout/readback.sh", **change_questions(there, POD_NETWORKS, [])
        )
        undo = script(
            "undo/recovery.sh", "rollout/readback.sh", **undo_questions(there, POD_NETWORKS)
        )
        seen = kernel.run("sh", "-c", f'{look}\nlook; printf %s "$touched"').decode()
        assert sorted(seen.splitlines()) == sorted(wanted.splitlines())
        assert kernel.run("sh", "-c", f"{undo}\ntouched").decode() == seen
