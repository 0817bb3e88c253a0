"""Random clusters with random faults: what stands on machines before a plan is carried out.

A cluster is a list of commands for each worker; those that a kernel refuses are passed over. The
faults are those of docs/diagnosis.md, with random addresses, links and tables, among what
random_machines.py makes.
"""

import re
from dataclasses import dataclass

from hypothesis import strategies as st

from . import random_machines as noise

Commands = st.SearchStrategy[str]

WORKERS = 3
NUMBER = st.integers(0, WORKERS - 1)
PODS = NUMBER.map("10.200.{}.0/24".format)
PODS6 = NUMBER.map("fd00:200:0:{}::/64".format)
PART = (
    PODS
    | st.builds("10.200.{}.{}".format, NUMBER, st.sampled_from(["0/25", "128/25", "254/32"]))
    | st.sampled_from(["10.200.0.0/16", "10.0.0.0/8", "default"])
)
PART6 = PODS6 | st.sampled_from(["fd00:200::/48", "default"])
HOP = st.sampled_from(["10.240.0.6", "10.240.0.7", "10.240.0.8", "10.240.0.99"])
HOP6 = st.sampled_from(["fd00:240::6", "fd00:240::7", "fd00:240::8", "fd00:240::99"])
TABLE = st.sampled_from(["", "", " table 7", " table 8"])
METRIC = st.sampled_from(["", " metric 5", " metric 5000"])
PROTO = st.sampled_from(["", " proto 214", " proto static"])
VERB = st.sampled_from(["add", "replace", "append"])
LINK = st.sampled_from(["enp6s0", "cnio0"])
ON = LINK | st.sampled_from(["all", "eth0"])

ROUTE = (
    st.builds("ip route {} {} via {}{}{}{}".format, VERB, PART, HOP, TABLE, METRIC, PROTO)
    | st.builds("ip -6 route {} {} via {}{}{}".format, VERB, PART6, HOP6, TABLE, METRIC)
    | st.builds("ip route add {} {}{}{}".format, noise.TYPES, PART, TABLE, METRIC)
    | st.builds("ip -6 route add {} {}{}{}".format, noise.TYPES, PART6, TABLE, METRIC)
    | st.builds("ip route del {}".format, PODS)
    | st.builds("ip route add {} dev {}{}{}".format, PART, LINK, TABLE, METRIC)
    | st.builds("ip route add {} via {} src 10.200.{}.1{}".format, PODS, HOP, NUMBER, METRIC)
    | st.builds("ip route add {} via {} mtu lock 1300{}".format, PODS, HOP, METRIC)
)
SELECTOR = (
    st.builds("from {}".format, PODS)
    | st.builds("to {}".format, PODS)
    | st.builds("from {} to {}".format, PODS, PODS)
    | st.builds("iif {}".format, LINK)
    | st.builds("not to {}".format, PODS)
    | st.builds("fwmark {}".format, st.sampled_from(["7", "0/7"]))
    | st.just("from all ipproto icmp")
)
VERDICT = st.sampled_from(
    ["lookup 7", "lookup 8", "blackhole", "prohibit", "lookup 254 suppress_prefixlength 20"]
)
RULE = st.builds(
    "ip rule add {} {} pref {}".format, SELECTOR, VERDICT, st.integers(100, 32000)
) | st.builds("ip -6 rule add from {} {} pref 99".format, PODS6, VERDICT)
SETTING = (
    st.builds("echo {} >/proc/sys/net/ipv4/conf/{}/rp_filter".format, st.integers(0, 2), ON)
    | st.builds("echo 0 >/proc/sys/net/ipv4/conf/{}/forwarding".format, ON)
    | st.builds("echo {} >/proc/sys/net/ipv4/conf/{}/arp_ignore".format, st.integers(0, 8), LINK)
    | st.builds("echo {} >/proc/sys/net/ipv4/conf/{}/arp_announce".format, st.integers(0, 2), ON)
    | st.builds("echo 1 >/proc/sys/net/ipv4/conf/{}/proxy_arp".format, LINK)
    | st.just("echo 1 >/proc/sys/net/ipv6/conf/cnio0/disable_ipv6")
    | st.sampled_from(
        [
            "echo 0 >/proc/sys/net/ipv4/ip_forward",
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
            "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
            "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all",
            "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables",
            "echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables",
        ]
    )
)
DEVICE = (
    st.builds("ip link set {} {}".format, LINK, st.sampled_from(["down", "up"]))
    | st.builds("ip link set {} mtu {}".format, LINK, st.sampled_from([1280, 1400, 1500, 9000]))
    | st.builds("ip addr add 10.200.{}.{}/32 dev lo".format, NUMBER, st.sampled_from([77, 254]))
    | st.builds("ip addr add 10.240.0.{}/24 dev enp6s0".format, st.sampled_from([99, 200]))
    | st.builds("ip neigh replace {} lladdr 02:00:00:00:00:99 dev enp6s0 nud permanent".format, HOP)
    | st.builds("ip neigh add proxy {} dev enp6s0".format, HOP)
)
MATCH = st.lists(
    st.builds("-s {}".format, PODS)
    | st.builds("-d {}".format, PODS)
    | st.builds("-i {}".format, LINK)
    | st.builds("-o {}".format, LINK)
    | st.sampled_from(
        [
            "-s 10.200.0.0/16",
            "-p icmp",
            "-p tcp",
            "-m conntrack --ctstate RELATED,ESTABLISHED",
            "-m conntrack --ctstate NEW",
            "-m mark --mark 7",
            "-m length --length 0:200",
            "-p icmp -m icmp --icmp-type 8",
        ]
    ),
    max_size=3,
    unique=True,
).map(" ".join)
TARGET = st.sampled_from(["ACCEPT", "ACCEPT", "DROP", "DROP", "REJECT", "RETURN"])
IPTABLES = (
    st.builds("{} -A FORWARD {} -j {}".format, noise.PROGRAM, MATCH, TARGET)
    | st.builds("{} -P FORWARD DROP".format, noise.PROGRAM)
    | st.builds("{} -P {} DROP".format, noise.PROGRAM, st.sampled_from(["INPUT", "OUTPUT"]))
    | st.builds("{} -t raw -A PREROUTING -s {} -j DROP".format, noise.PROGRAM, PODS)
    | st.builds("{} -t mangle -A PREROUTING -s {} -j MARK --set-mark 7".format, noise.PROGRAM, PODS)
    | st.builds("{} -t nat -A POSTROUTING -s {} -j MASQUERADE".format, noise.PROGRAM, PODS)
    | st.builds("iptables -t nat -A POSTROUTING -s {} ! -d {} -j MASQUERADE".format, PODS, PODS)
    | st.builds("ip6tables -A FORWARD -s {} -j DROP".format, PODS6)
    | st.sampled_from(["ip6tables -P FORWARD DROP", "ip6tables -P FORWARD ACCEPT"])
)
NFT_MATCH = (
    st.builds("ip saddr {}".format, PODS)
    | st.builds("ip daddr {{ {}, 10.240.0.7 }}".format, PODS)
    | st.builds("iifname {}".format, LINK)
    | st.sampled_from(
        ["ct state new", "icmp type echo-reply", "ip saddr @s", "meta mark 7", "ip length > 500"]
    )
)
NFT = st.builds(
    "nft 'add rule inet {} f {} {}'".format,
    st.sampled_from(["a", "b"]),
    NFT_MATCH,
    st.sampled_from(["accept", "drop", "reject", "counter drop", "meta mark set 7"]),
) | st.builds(
    "nft 'add chain inet a {} {{ type filter hook {} priority {}; policy {}; }}'".format,
    st.sampled_from(["g", "h"]),
    st.sampled_from(["prerouting", "forward"]),
    st.integers(-300, 300),
    st.sampled_from(["accept", "drop"]),
)
# What nobody can say anything of: what is not copied, and an address that two machines have.
GAP = st.sampled_from(
    [
        "ip link add vx type vxlan id 5 dstport 8472 dev enp6s0; ip link set vx up;"
        " ip route add 10.200.2.0/25 dev vx",
        "iptables -A FORWARD -s 10.200.1.0/24 -m comment --comment=-x -j DROP",
        "ip addr add 10.240.0.7/24 dev enp6s0",
    ]
)
FAULT = st.one_of(ROUTE, RULE, SETTING, DEVICE, IPTABLES, NFT)
OTHERS = st.one_of(*(part for part, _ in noise.PARTS)).filter(
    # Another address of the pod bridge says that hosts.toml is wrong: nothing is planned then.
    lambda command: not re.match("ip addr add .* cnio0", command)
)
FIRST = [
    *noise.FIRST,
    "nft 'add element inet a s { 10.200.1.0-10.200.2.255 }'",
    "ip route add default via 10.240.0.99 table 8",
]


@dataclass(frozen=True)
class RandomCluster:
    """What stands on the workers, and what the plan may do."""

    routed: bool  # whether all routes are there already
    dual: bool  # whether there is IPv6 and a controller too
    commands: tuple[tuple[str, ...], ...]  # by worker
    replace: bool
    adopt: bool
    only: str
    limit: str


def _machine() -> st.SearchStrategy[tuple[str, ...]]:
    few = st.lists(FAULT, max_size=3)
    others = st.lists(OTHERS, max_size=4)
    gaps = st.integers(0, 299).flatmap(
        lambda n: st.lists(GAP, min_size=n == 173, max_size=n == 173)
    )
    return st.tuples(few, others, gaps).map(lambda parts: tuple(c for part in parts for c in part))


NAME = st.sampled_from(["", "", "", "", "worker-1", "worker-2"])
CLUSTER = st.builds(
    RandomCluster,
    routed=st.booleans(),
    dual=st.sampled_from([False, False, False, True]),
    commands=st.tuples(*(_machine() for _ in range(WORKERS))),
    replace=st.sampled_from([True, True, True, False]),
    adopt=st.booleans(),
    only=NAME,
    limit=st.just(""),
) | st.builds(
    RandomCluster,
    routed=st.booleans(),
    dual=st.just(False),
    commands=st.tuples(*(_machine() for _ in range(WORKERS))),
    replace=st.just(True),
    adopt=st.booleans(),
    only=st.just(""),
    limit=NAME,
)
