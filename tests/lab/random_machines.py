"""Random machines, and whether their copies hold the same, by the kernel's own output.

A machine is a list of commands; those that a kernel refuses are passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .conftest import MakeDirectory, MakeLab
from .copies import copied, held
from .kit import dual_stack

Commands = st.SearchStrategy[list[str]]

DEVICES = st.sampled_from(["eth0", "enp6s0", "cnio0", "br9", "d0"])
BYTE = st.integers(0, 255)
TABLES = st.sampled_from(["254", "7", "8", "100", "4000000"])
METRICS = st.sampled_from(["", " metric 5", " metric 77"])
PROTOCOLS = st.sampled_from(["", " proto 214", " proto static", " proto 99", " proto bird"])
NEAR = st.integers(2, 60).map("10.240.0.{}".format)
NEAR6 = st.integers(2, 60).map("fd00:240::{:x}".format)
TYPES = st.sampled_from(["blackhole", "unreachable", "prohibit", "throw"])
NETWORK = st.builds("10.{}.{}.0/24".format, BYTE, BYTE) | st.builds("10.{}.0.0/16".format, BYTE)
NETWORK6 = st.builds("fd{:02x}:{:x}::/32".format, BYTE, BYTE)
ANY = NETWORK | st.just("default")
EXTRA = st.sampled_from(
    ["", " mtu 1300", " mtu lock 1280", " advmss 900", " initcwnd 20", " onlink", " rto_min 20ms"]
)


def _hop(near: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = st.builds("via {} dev enp6s0".format, near)
    weighted = st.builds("nexthop via {} dev enp6s0 weight {}".format, near, st.integers(1, 9))
    return one | st.lists(weighted, min_size=2, max_size=3).map(" ".join)


ROUTE = (
    st.builds(
        "ip route {} {} {} table {}{}{}{}".format,
        st.sampled_from(["add", "append"]),
        ANY,
        _hop(NEAR),
        TABLES,
        METRICS,
        PROTOCOLS,
        EXTRA,
    )
    | st.builds("ip route add {} {} table {}{}{}".format, TYPES, ANY, TABLES, METRICS, PROTOCOLS)
    | st.builds("ip route add {} dev {} table {}{}".format, NETWORK, DEVICES, TABLES, PROTOCOLS)
    | st.builds("ip route add {} tos 0x10 via {}".format, NETWORK, NEAR)
    | st.builds("ip route add {} via {} src 10.240.0.250".format, NETWORK, NEAR)
    | st.builds("ip route add local {} dev lo table {}".format, NETWORK, TABLES)
    | st.builds(
        "ip -6 route add {} {} table {}{}{}".format,
        NETWORK6,
        _hop(NEAR6),
        TABLES,
        METRICS,
        PROTOCOLS,
    )
    | st.builds("ip -6 route add {} {} table {}{}".format, TYPES, NETWORK6, TABLES, METRICS)
)
SELECTOR = (
    st.builds("from {}".format, NETWORK)
    | st.builds("to {}".format, NETWORK)
    | st.builds("from {} to {}".format, NETWORK, NETWORK)
    | st.builds("fwmark {}/0xff".format, st.integers(0, 255))
    | st.builds("iif {}".format, DEVICES)
    | st.builds("not from {} iif {}".format, NETWORK, DEVICES)
    | st.builds("ipproto tcp dport {}".format, st.integers(1, 65535))
    | st.builds("from {} uidrange 0-{}".format, NETWORK, BYTE)
)
RULE = st.builds(
    "ip {} rule add {} {} pref {}".format,
    st.sampled_from(["-4", "-6"]),
    SELECTOR,
    st.builds("lookup {}".format, TABLES)
    | st.sampled_from(
        ["blackhole", "prohibit", "lookup 254 suppress_prefixlength 8", "goto 32766"]
    ),
    st.integers(1, 32000),
)
SETTING = st.builds(
    "echo {} >/proc/sys/net/ipv4/conf/{}/{}".format,
    st.integers(0, 2),
    DEVICES | st.sampled_from(["all", "default"]),
    st.sampled_from(["rp_filter", "forwarding", "arp_ignore", "arp_announce", "accept_redirects"]),
) | st.builds(
    "echo {} >/proc/sys/net/ipv6/conf/{}/{}".format,
    st.integers(0, 1),
    DEVICES,
    st.sampled_from(["forwarding", "accept_redirects"]),
)
LINK = st.sampled_from(
    [
        "ip link set br9 down",
        "ip link set d1 down",
        "ip link set d0 mtu 1400",
        "ip link set br9 mtu 9000",
        "ip link set d0 master br9",
        "ip route del 192.168.8.0/24",
        "ip route del 192.168.9.0/24",
    ]
) | st.builds("ip addr add 192.168.{}.1/{} dev {}".format, BYTE, st.integers(20, 32), DEVICES)
PROGRAM = st.sampled_from(["iptables-nft", "iptables-legacy"])
CHAIN = st.sampled_from(["INPUT", "FORWARD", "OUTPUT", "ONE", "TWO"])
MATCH = st.lists(
    st.builds("-s {}".format, NETWORK)
    | st.builds("! -d {}".format, NETWORK)
    | st.builds("-i {}".format, DEVICES)
    | st.sampled_from(
        [
            "-p tcp -m tcp --dport 80:90",
            "-p udp -m multiport --dports 53,67",
            "-m conntrack --ctstate RELATED,ESTABLISHED",
            "-m mark --mark 0x10/0xff",
            "-m limit --limit 3/min",
            "-m comment --comment 'a \"b\" c'",
            "-p icmp -m icmp --icmp-type 8",
        ]
    ),
    max_size=2,
    unique=True,
).map(" ".join)
VERDICT = st.sampled_from(
    ["ACCEPT", "DROP", "RETURN", "REJECT", "ONE", "TWO", 'LOG --log-prefix "x y"']
)
IPTABLES = (
    st.builds("{} -A {} {} -j {}".format, PROGRAM, CHAIN, MATCH, VERDICT)
    | st.builds(
        "{} -P {} {}".format,
        PROGRAM,
        st.sampled_from(["INPUT", "FORWARD"]),
        st.sampled_from(["ACCEPT", "DROP"]),
    )
    | st.builds("{} -t raw -A PREROUTING {} -j NOTRACK".format, PROGRAM, MATCH)
    | st.builds("{} -t mangle -A POSTROUTING {} -j MARK --set-mark 7".format, PROGRAM, MATCH)
    | st.builds("iptables-nft -t nat -A POSTROUTING -s {} -j MASQUERADE".format, NETWORK)
    | st.builds("ip6tables-nft -A FORWARD -s {} -j DROP".format, NETWORK6)
)
NFT_RULE = (
    st.builds("ip saddr {} counter drop".format, NETWORK)
    | st.builds("iifname {} ip daddr {{ {}, {} }} accept".format, DEVICES, NETWORK, NEAR)
    | st.sampled_from(
        [
            "ct state vmap { established : accept, invalid : drop }",
            "tcp dport { 22, 80-90 } counter accept",
            "meta mark set 0x7",
            "ip saddr @s drop",
            "jump other",
            'limit rate 5/minute log prefix "a b" reject',
        ]
    )
)
NFT = st.builds(
    "nft 'add rule inet {} {} {}'".format, st.sampled_from(["a", "b"]), st.just("f"), NFT_RULE
) | st.builds(
    "nft 'add chain inet {} {} {{ type filter hook {} priority {}; policy {}; }}'".format,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["g", "h"]),
    st.sampled_from(["prerouting", "input", "forward"]),
    st.integers(-300, 300),
    st.sampled_from(["accept", "drop"]),
)
FIRST = [
    "ip link add name br9 type bridge; ip link set br9 up; ip addr add 192.168.9.1/24 dev br9",
    "ip link add name d0 type veth peer name d1; ip link set d0 up; ip link set d1 up",
    "ip addr add 192.168.8.1/24 dev d0; ip addr add 10.240.0.250/32 dev lo",
    "for p in iptables-nft iptables-legacy; do $p -N ONE; $p -N TWO; done",
    *(
        f"nft 'add table inet {t}; add chain inet {t} other; add chain inet {t} f"
        " { type filter hook forward priority 0; }; add set inet %s s"
        " { type ipv4_addr; elements = { 10.9.9.9, 10.9.9.10 }; }'" % t
        for t in ("a", "b")
    ),
]
# Without the operator's way in, no machine can be asked.
LAST = [
    "for p in iptables-nft iptables-legacy; do $p -I INPUT -i eth0 -j ACCEPT;"
    " $p -I OUTPUT -o eth0 -j ACCEPT; done",
    "nft flush chain inet a g; nft flush chain inet b g; for t in a b; do for c in g h; do"
    ' nft "insert rule inet $t $c iifname eth0 accept"; done; done',
    "ip rule add to 203.0.113.0/24 lookup main pref 0",
]
PARTS: tuple[tuple[st.SearchStrategy[str], int], ...] = (
    (ROUTE, 12),
    (RULE, 5),
    (SETTING, 6),
    (LINK, 3),
    (IPTABLES, 12),
    (NFT, 8),
)
MACHINE: Commands = st.tuples(*(st.lists(part, max_size=most) for part, most in PARTS)).map(
    lambda parts: [command for part in parts for command in part]
)


@dataclass
class Result:
    """How many machines were copied, how many lines were compared, and what differed."""

    machines: int = 0
    lines: int = 0
    differs: list[str] = field(default_factory=list)


def compare(
    make_lab: MakeLab, make_directory: MakeDirectory, rounds: int, at_once: int, first: int = 1
) -> Result:
    """Copy rounds of random machines, so many at once, and compare what the kernels hold."""
    result = Result()

    @seed(first)
    @settings(
        max_examples=rounds,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(MACHINE, min_size=at_once, max_size=at_once))
    def one(machines: list[list[str]]) -> None:
        lab = make_lab(dual_stack(at_once))
        try:
            for number, commands in enumerate(machines):
                text = "\n".join([*FIRST, *commands, *LAST, ":"])
                lab.twin.run(f"worker-{number}", ["sh", "-c", text])
            with copied(lab, make_directory) as (copy, told):
                result.differs += told
                for number in range(at_once):
                    name = f"worker-{number}"
                    before, after = held(lab, name), held(copy, name)
                    result.machines += 1
                    result.lines += sum(map(len, before.values()))
                    result.differs += [
                        f"{name}: {what}: {line}"
                        for what in before
                        for line in sorted(set(before[what]) ^ set(after[what]))
                    ]
        finally:
            lab.twin.stop()

    run: Callable[[], None] = one
    run()
    return result
