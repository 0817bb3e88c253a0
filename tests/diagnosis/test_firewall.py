"""Firewalls: what becomes of a packet, by the listings of iptables-save and nft."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.common.script import script
from tasks.common.values import Network
from tasks.diagnosis.condition import Packet
from tasks.diagnosis.firewall import Drop, counters, read_firewall
from tasks.diagnosis.remedy import Remedy, accept_packets
from tasks.diagnosis.walk import judge
from tests.scripts import answer

SURE, NO, UNKNOWN = "drops it", "lets it pass", "nobody can say"

# What a worker forwards from its pods: the request of a ping.
PING: Mapping[str, str | None] = {
    "source": "10.200.1.5",
    "target": "10.200.0.9",
    "iif": "cnio0",
    "oif": "enp6s0",
    "protocol": "icmp",
    "nfproto": "ipv4",
    "ether": "ip",
    "pkttype": "host",
    "fib": "unicast",
    "type": "echo-request",
    "sport": "",
    "dport": "",
    "state": "new",
}
FORWARDED = frozenset(("prerouting", "forward", "postrouting"))


def said(listing: Sequence[str], hooks: frozenset[str] = FORWARDED, **other: str | None) -> str:
    """What a firewall does with a ping, in which some facts are others."""
    found = judge(read_firewall(listing, 4), Packet({**PING, **other}, hooks))
    if found.certain:
        return SURE
    return UNKNOWN if found.possible or not found.complete else NO


# What a table has besides the chain that is asked.
BESIDES = """
set others {
    type ipv4_addr
    elements = { 192.0.2.7, 192.0.2.9 }
}
set pods {
    type ipv4_addr
    flags interval
    elements = { 192.0.2.1, 10.200.0.0/16 }
}
set both {
    type ipv4_addr . inet_proto
    elements = { 10.200.1.5 . icmp comment "a pod" }
}
chain refuse {
    reject
}
chain empty {
}
map ways {
    type ipv4_addr : verdict
    elements = { 192.0.2.1 : accept, 10.200.0.9 : jump refuse }
}"""


def nft(rules: str, chain: str = "type filter hook forward priority 0; policy accept;") -> str:
    """A table with these rules in one chain, as nft reads and lists it."""
    lines = "\n".join(rules.split("; "))
    return f"table inet f {{{BESIDES}\nchain c {{\n{chain}\n{lines}\n}}\n}}"


def listed(table: str) -> list[str]:
    """What is printed where nft has this table and nothing else is there."""
    return ["nft", *(line.strip() for line in table.splitlines()), "complete"]


def iptables(rules: str, table: str = "filter") -> list[str]:
    """What is printed where iptables has these rules in FORWARD."""
    appended = [f"[0:0] -A FORWARD {rule}" for rule in rules.split("; ")]
    head = ["program iptables nft", f"*{table}", ":FORWARD ACCEPT [0:0]"]
    return [*head, *appended, "nft", "complete"]


NFT = [
    ("drop", SURE),
    ("accept; drop", NO),
    ("jump refuse", SURE),
    ("jump empty; drop", SURE),
    ("goto empty; drop", NO),
    ("ip daddr 10.200.0.0/24 drop", SURE),
    ("ip daddr 10.200.0.0/29 drop", NO),
    ("ip daddr 10.200.0.8-10.200.0.10 drop", SURE),
    ("ip daddr { 10.0.0.0/8, 192.0.2.1 } drop", SURE),
    ("ip saddr != 10.200.0.0/16 drop", NO),
    ("ip saddr != 192.0.2.0/24 drop", SURE),
    ("ip6 daddr != fd00::/8 drop", NO),
    ("ip saddr @others drop", NO),
    ("ip saddr != @others drop", SURE),
    ("ip saddr @pods drop", SURE),
    ("ip saddr . meta l4proto @both drop", SURE),
    ("ip daddr . meta l4proto @both drop", NO),
    ("ip daddr vmap @ways", SURE),
    ("ip saddr vmap @ways", NO),
    ("meta l4proto vmap { tcp : drop, icmp : jump refuse }", SURE),
    ("ct state vmap { established : accept, invalid : drop }", NO),
    ("ct state established,related drop", NO),
    ("ct state established,related accept; drop", SURE),
    ("iifname { docker0, virbr* } drop", NO),
    ("iifname cni* oifname enp6s0 drop", SURE),
    ("meta l4proto { tcp, udp } drop", NO),
    ("ip protocol icmp drop", SURE),
    ("icmp type echo-reply drop", NO),
    ("icmp type { echo-request, echo-reply } drop", SURE),
    ("tcp dport != 22 drop", NO),
    ("tcp flags syn / fin,syn drop", NO),
    ("meta nfproto ipv6 drop", NO),
    ("meta pkttype broadcast drop", NO),
    ("fib daddr type local drop", NO),
    ('ip saddr 10.200.1.5 counter log prefix "a drop" drop comment "x"', SURE),
    ("meta mark 7 drop", UNKNOWN),
    ("limit rate over 5/second drop", UNKNOWN),
    ("ct original ip saddr 192.0.2.1 drop", UNKNOWN),
    ("fib saddr . iif oif missing drop", UNKNOWN),
    ("ip dscp 7 ip daddr 10.200.0.9 accept; drop", UNKNOWN),
    ("numgen random mod 2 vmap { 0 : drop, 1 : accept }", UNKNOWN),
    ("meta mark 7 jump refuse", UNKNOWN),
    ("iifname docker0 meta mark 7 drop", NO),
    ("queue num 7", UNKNOWN),
]
IPTABLES = [
    ("-j DROP", SURE),
    ("-j ACCEPT; -j DROP", NO),
    ("-s 10.200.0.0/16 -j REJECT", SURE),
    ("! -s 10.200.0.0/16 -j DROP", NO),
    ("-i cnio0 -o enp+ -j DROP", SURE),
    ("! -i cnio0 -j DROP", NO),
    ("-i docker0 -j DROP", NO),
    ("-p tcp -m tcp --dport 80 -j DROP", NO),
    ("-p tcp -m multiport ! --dports 22,8000:8080 -j DROP", NO),
    ("-p icmp -m icmp --icmp-type 8 -j DROP", SURE),
    ("-p icmp -m icmp --icmp-type 0 -j DROP", NO),
    ("-m conntrack --ctstate INVALID -j DROP", NO),
    ("-m conntrack --ctstate NEW,RELATED -j DROP", SURE),
    ('-m comment --comment "-j ACCEPT, it says" -j DROP', SURE),
    ("-j MARK --set-xmark 0x7/0xff; -j DROP", SURE),
    ("-j LOG; -j RETURN; -j DROP", NO),
    ("-m mark --mark 0x7 -j DROP", UNKNOWN),
    ("-m statistic --mode random --probability 0.5 -j ACCEPT; -j DROP", UNKNOWN),
]


@pytest.mark.parametrize(("rules", "expected"), NFT)
def test_what_rules_of_nft_do_with_a_packet(rules: str, expected: str) -> None:
    assert said(listed(nft(rules))) == expected


@pytest.mark.parametrize(("rules", "expected"), IPTABLES)
def test_what_rules_of_iptables_do_with_a_packet(rules: str, expected: str) -> None:
    assert said(iptables(rules)) == expected


# A router between two networks in which a pod of PING and its target are.
ROUTER = """mount -t tmpfs none /run
for end in "pod cnio0 10.200.1.1 10.200.1.5" "target enp6s0 10.200.0.1 10.200.0.9"; do
  set -- $end
  ip netns add "$1"
  ip link add "$2" type veth peer name eth0 netns "$1"
  ip addr add "$3/24" dev "$2" && ip link set "$2" up
  ip -n "$1" addr add "$4/24" dev eth0 && ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "$3"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
host() { "$@"; }
echos() { ip netns exec target awk '/^Icmp: [0-9]/ { print $10 }' /proc/net/snmp; }
# send TENTHS: ping from the pod, and say whether the target has the request after so long at most.
send() {
  before=$(echos) tenths=$1
  ip netns exec pod ping -n -q -c 1 -W 0.1 10.200.0.9 >/dev/null
  while [ "$(echos)" = "$before" ] && [ $tenths -gt 0 ]; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  [ "$(echos)" = "$before" ] || echo arrived
}
send 90
"""


@pytest.mark.system
def test_the_kernel_does_the_same(tmp_path: Path) -> None:
    """The tables above, made for real and listed by their own programs."""
    ways = [
        (f"nft -f - <<'END'\n{nft(rules)}\nEND", expected)
        for rules, expected in NFT
        if "queue" not in rules  # for which kernels need a module
    ]
    ways += [
        ("\n".join(f"iptables -A FORWARD {rule}" for rule in rules.split("; ")), expected)
        for rules, expected in IPTABLES
    ]
    each = [
        f"nft flush ruleset\n{way}\necho '== firewall'; firewall 4; echo '== sent'; {ping}"
        for way, expected in ways
        for ping in ({SURE: "send 0", NO: "send 90", UNKNOWN: ":"}[expected],)
    ]
    sent = "\n".join((script("diagnosis/firewall.sh"), ROUTER, "main() {", *each, "}"))
    _, *answers = answer(sent, tmp_path).split("== firewall\n")
    assert len(answers) == len(ways)
    for (way, expected), text in zip(ways, answers, strict=True):
        listing, _, came = text.partition("== sent")
        assert said(listing.splitlines()) == expected, way
        assert expected == UNKNOWN or (expected == NO) == ("arrived" in came), way


IN = "type filter hook input priority 0; policy drop;"


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        (listed(nft("accept", "type filter hook forward priority 0; policy drop;")), NO),
        (
            listed(nft("ct mark 7 accept", "type filter hook forward priority 0; policy drop;")),
            UNKNOWN,
        ),
        (listed(nft("counter", "type filter hook forward priority 0; policy drop;")), SURE),
        (listed(nft("accept", IN)), NO),
        (listed(nft("drop", IN)), NO),
        (listed(nft("drop", "type filter hook prerouting priority raw; policy accept;")), SURE),
        (listed(nft("drop", "type filter hook moon priority 0; policy accept;")), NO),
        (listed(nft("drop").replace("table inet", "table ip6")), NO),
        (listed(nft("drop").replace("table inet", "table arp")), NO),
        (listed(nft("drop").replace("table inet", "table bridge")), NO),
        (
            listed(nft("drop", "type filter hook input priority 0;").replace("inet f", "bridge f")),
            UNKNOWN,
        ),
        (listed(nft("drop", 'type filter hook ingress device "cnio0" priority 0;')), SURE),
        (listed(nft("drop", 'type filter hook ingress devices = { "a", "b" } priority 0;')), NO),
        (listed(nft("jump { drop }")), UNKNOWN),
        (listed(nft("ip saddr @elsewhere drop")), UNKNOWN),
        (listed(nft("jump d").replace("chain empty {", "chain d {\njump d")), UNKNOWN),
        (listed(nft("accept"))[:-1], UNKNOWN),
        (["program iptables-legacy legacy", "unread", *listed(nft("accept"))], UNKNOWN),
        (iptables("-j TARPIT"), UNKNOWN),
        (iptables("-j NFQUEUE --queue-num 0"), UNKNOWN),
        (iptables("-p icmp -j ACCEPT", "mangle"), NO),
        (iptables("-j CT --notrack; -m conntrack --ctstate ESTABLISHED -j DROP", "raw"), UNKNOWN),
        (iptables("-d 999.1.1.1 -j DROP"), UNKNOWN),
    ],
    ids=lambda value: value[-4] if isinstance(value, list) else value,
)
def test_which_chains_a_packet_passes(listing: Sequence[str], expected: str) -> None:
    assert said(listing) == expected


def test_what_iptables_and_nft_both_list_is_read_once_and_the_rest_from_each() -> None:
    both = ["*filter", ":FORWARD DROP [0:0]", "nft", "table ip filter {", "chain FORWARD {"]
    lines = [*both, "type filter hook forward priority filter; policy drop;", "}", "}", "complete"]
    for backend, tables in (
        ("nft", ["iptables filter"]),
        ("legacy", ["iptables filter", "nft, ip filter"]),
    ):
        read = read_firewall([f"program iptables {backend}", *lines], 4)
        assert [table for table, _ in read.bases] == tables


def drops(listing: Sequence[str], family: int = 4) -> list[Drop]:
    """The rules that surely drop a ping."""
    return judge(read_firewall(listing, family), Packet(PING, FORWARDED)).certain


DOCKER = """\
program iptables nft
*filter
:FORWARD DROP [12:1008]
:DOCKER-USER - [0:0]
[9:756] -A FORWARD -j DOCKER-USER
[2:168] -A DOCKER-USER -s 10.200.0.0/16 -j REJECT --reject-with icmp-port-unreachable
nft
table inet firewalld {
chain filter_FORWARD {
type filter hook forward priority filter + 10; policy accept;
jump zone
}
chain zone {
ip daddr 10.200.0.9 counter packets 7 bytes 588 drop
}
}
complete""".splitlines()


def test_a_drop_by_its_own_words_its_counter_and_its_owner() -> None:
    user = Drop(
        "iptables, -A DOCKER-USER -s 10.200.0.0/16 -j REJECT",
        "forward",
        2,
        ("Docker",),
        policy=False,
    )
    zone = Drop(
        "nft, inet firewalld zone: ip daddr 10.200.0.9 drop",
        "forward",
        7,
        ("firewalld",),
        policy=False,
    )
    assert drops(DOCKER) == [user, zone]
    policy = Drop("iptables, policy DROP of FORWARD", "forward", 12, ("Docker",), policy=True)
    assert drops([line for line in DOCKER if "REJECT" not in line]) == [policy, zone]
    assert counters(read_firewall(DOCKER, 4)) == {d.rule: d.packets for d in (user, zone, policy)}
    (policy, _) = drops([line.replace("-s", "! -s") for line in DOCKER[1:]], 6)
    assert policy.rule == "ip6tables, policy DROP of FORWARD"


@pytest.mark.parametrize(
    ("rule", "packets"),
    [
        ("counter packets 7 bytes 588 drop", 7),
        ("counter packets 7 bytes 588 ip saddr 10.0.0.0/8 drop", None),  # counts others too
        (f"counter packets {'9' * 4400} bytes 588 drop", None),  # no kernel counts so far
        ("drop", None),
    ],
)
def test_a_counter_tells_only_of_what_was_dropped(rule: str, packets: int | None) -> None:
    assert [drop.packets for drop in drops(listed(nft(rule)))] == [packets]


def test_what_a_rule_says_is_shown_on_one_line_of_its_own() -> None:
    (drop,) = drops(iptables(f'-m comment --comment "\x1b{"x" * 200}" -j DROP'))
    assert len(drop.rule) <= 90
    assert drop.rule.isprintable()


FOUR, SIX = ip_network("10.200.0.0/16"), ip_network("fd00:200::/48")


def by(rule: str, *owners: str) -> Drop:
    return Drop(rule, "forward", None, owners, policy=False)


def remedy(of: Drop, *pods: Network) -> str:
    return str(accept_packets(of, pods, "w"))


def test_the_remedy_is_that_of_whoever_set_it() -> None:
    assert accept_packets(by("iptables, x", "ufw"), [FOUR, SIX], "w") == Remedy(
        "w",
        tuple(f"ufw route allow {way} {pods}" for pods in (FOUR, SIX) for way in ("from", "to")),
    )
    assert "firewall-cmd --permanent" in remedy(by("nft, x", "firewalld"), FOUR)
    assert "net.ipv4.ip_forward=1" in remedy(by("iptables, x", "Docker"), FOUR)
    assert "net.ipv6.conf.all.forwarding" in remedy(by("ip6tables, x", "Docker"), SIX)
    assert "nftables.conf" in remedy(by("nft, x"), FOUR)
    assert remedy(by("ip6tables, policy DROP of FORWARD"), SIX) == (
        "on w: ip6tables -I FORWARD -s fd00:200::/48 -j ACCEPT;"
        " ip6tables -I FORWARD -d fd00:200::/48 -j ACCEPT; netfilter-persistent save"
        "  # from the package iptables-persistent"
    )
    assert remedy(by("iptables-legacy, policy DROP of FORWARD"), FOUR).startswith(
        "on w: iptables-legacy -I FORWARD -s 10.200.0.0/16 -j ACCEPT; iptables-legacy -I"
    )


WORDS = st.sampled_from(
    "table ip ip6 inet chain t c { } type hook forward policy drop; drop jump goto * *filter : -s !"
    " :FORWARD [1:2] -A FORWARD -j DROP nft counter packets 7 set map vmap @s elements = , != ."
    " --dport saddr daddr 10.0.0.0/8 complete unread 80 ip6 tcp dport accept return".split()
)
FACTS = st.dictionaries(
    st.sampled_from(sorted(PING)), st.sampled_from([None, "", "10.0.0.1", "80"])
)


@given(st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=16), FACTS)
def test_nonsense_is_read_as_far_as_it_goes(lines: list[str], other: dict[str, str | None]) -> None:
    counters(read_firewall(lines, 4))
    head = ["nft", "table inet f {", "chain c {", "type filter hook forward priority 0;"]
    assert said([*head, *lines], FORWARDED, **other) in (SURE, NO, UNKNOWN)
