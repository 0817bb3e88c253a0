"""Every cause that verify can name, made for real on a twin, and what verify says about it.

Each fault has a twin of its own. Several twins run at a time, because a test mostly waits for
answers that do not come. docs/diagnosis.md has the faults as a table.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from tasks.inventory.model import Cluster, ProviderNetwork
from tasks.iproute.route import own_route
from tests.paths import PROJECT

from .conftest import Lab, MakeDirectory, MakeLab, labs, tutorial
from .kit import dual_stack, ok, on, says

DOC = PROJECT / "docs/diagnosis.md"
AT_ONCE = 6
ROUTER = ip_address("10.240.0.1")  # of the twin's network that routes


@dataclass(frozen=True)
class Fault:
    """One fault, and all that verify has to say about it."""

    name: str
    where: str  # a machine; "network" for the switch between them; "hosts.toml"; "provider"
    what: str  # a command there, or old|new for hosts.toml; several lines are several
    words: str  # the cause, or with status 1 the error
    remedy: str = ""
    status: int = 5
    options: tuple[str, ...] = ()  # of verify
    cluster: Cluster = tutorial()  # noqa: RUF009  # a frozen value
    innocent: str = ""  # what worker-1 has besides, and lets pods through


DOCKER = """iptables -N DOCKER-USER; iptables -N DOCKER-FORWARD
iptables -A DOCKER-USER -j RETURN
iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -j DOCKER-FORWARD
iptables -P FORWARD DROP"""
FIREWALLD = """nft 'add table inet firewalld
add chain inet firewalld filter_FORWARD { type filter hook forward priority filter + 10; }
add rule inet firewalld filter_FORWARD ct state { established, related } accept
add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited'"""
UFW = "ufw allow 22/tcp && ufw --force enable"
SWITCH = """nft 'add table bridge f
add chain bridge f c { type filter hook forward priority 0; }
add rule bridge f c %s drop'"""
PODS = "10.200.0.0/16"
# As kube-proxy writes it in its nftables mode; an nftables.conf with the accept that remedies say;
# a set of other addresses; the list of CrowdSec's bouncer; a bridge's own rules for its ports;
# rules of both backends of iptables.
INNOCENT = f"""cat >/run/rules <<'END'
table ip kube-proxy {{
    set cluster-ips {{
        type ipv4_addr; elements = {{ 10.32.0.1, 10.32.0.10, 10.32.0.77 }}
    }}
    map no-endpoint-services {{
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = {{ 10.32.0.77 . tcp . 80 comment "ns1/svc1:p80" : goto reject-chain }}
    }}
    map firewall-ips {{
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = {{ 192.0.2.7 . tcp . 80 comment "ns1/svc2:p80" : goto firewall-ABC-ns1/svc2 }}
    }}
    chain reject-chain {{
        reject
    }}
    chain firewall-ABC-ns1/svc2 {{
        ip saddr != {{ 203.0.113.0/24 }} drop comment "invalid source"
    }}
    chain firewall-check {{
        ip daddr . meta l4proto . th dport vmap @firewall-ips
    }}
    chain service-endpoints-check {{
        ip daddr . meta l4proto . th dport vmap @no-endpoint-services
    }}
    chain cluster-ips-check {{
        ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
        ip daddr {{ 10.32.0.0/24 }} drop comment "Drop traffic to unallocated ClusterIPs"
    }}
    chain filter-prerouting {{
        type filter hook prerouting priority dstnat - 10; policy accept;
        ct state new jump firewall-check
    }}
    chain filter-forward {{
        type filter hook forward priority -110; policy accept;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }}
}}
table inet filter {{
    set others {{
        type ipv4_addr; flags interval; elements = {{ 192.168.0.0/16, 10.201.0.1-10.201.0.9 }}
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state vmap {{ established : accept, related : accept, invalid : drop }}
        ip saddr @others drop
        iifname {{ "docker0", "virbr*" }} drop
        tcp flags syn / fin,syn limit rate over 9/second drop
        ip saddr {PODS} accept
        ip daddr {PODS} accept
    }}
}}
table ip crowdsec {{
    set crowdsec-blacklists {{
        type ipv4_addr; flags timeout; elements = {{ 192.0.2.99 timeout 4h, 198.51.100.7 }}
    }}
    chain crowdsec-chain {{
        type filter hook forward priority filter - 10; policy accept;
        ip saddr @crowdsec-blacklists drop
    }}
}}
table bridge ports {{
    chain forward {{
        type filter hook forward priority filter; policy drop;
    }}
}}
END
nft -f /run/rules
iptables -A FORWARD -i docker0 -j DROP
iptables-legacy -A FORWARD -s 192.0.2.0/24 -j DROP"""
MARKED = """nft 'add table inet f
add chain inet f c { type filter hook forward priority 0; }
add rule inet f c ct mark 7 drop'"""
UNSURE = (
    "packets for pods are lost at worker-1 or on the network, and verify cannot say whether this"
    " rule drops them:"
)
LEGACY = "iptables-legacy -P FORWARD DROP; ! iptables -S | grep DROP"
DROPS = "worker-1's firewall drops packets for pods:"
KEEP = "netfilter-persistent save  # from the package iptables-persistent"
ACCEPT = (
    f"on worker-1: iptables -I FORWARD -s {PODS} -j ACCEPT;"
    f" iptables -I FORWARD -d {PODS} -j ACCEPT; {KEEP}"
)
NETWORK = f"allow {PODS} on that network: security groups, anti-spoofing, port security"
SYSCTLS = "/etc/sysctl.d/99-pod-routes.conf"
SMALLER = (
    'set "mtu": 1400 in the CNI config of every worker, or a larger MTU on that path;'
    " then restart the pods"
)
# A network that routes, and what to type to change its table.
NETWORK_OF_HETZNER = replace(tutorial(), network=ProviderNetwork("hetzner", "kubernetes"))
ADD, REMOVE = (
    f"hcloud network {verb}-route kubernetes --destination 10.200.1.0/24 --gateway 10.240.0."
    for verb in ("add", "remove")
)
NETWORK_OF_AWS = replace(tutorial(), network=ProviderNetwork("aws", "rtb-1"))
TO_PODS = "--route-table-id rtb-1 --destination-cidr-block 10.200.1.0/24"
INTERFACE = "--network-interface-id eni-"  # with the worker's number, 17 digits
UNCHECKED = f"aws ec2 modify-network-interface-attribute {INTERFACE}{1:017x} --no-source-dest-check"
# Kubenet's bridge is named in no CNI config.
KUBENET = "rm /etc/cni/net.d/*; ip link set cnio0 down; ip link set cnio0 name cbr0"

FAULTS = (
    Fault(
        "no route, and no way back",
        "worker-0",
        "ip route del 10.200.1.0/24",
        "worker-0 has no route to the pods of worker-1",
        "fab apply-routes",
    ),
    Fault(
        "no routes anywhere",
        "workers",
        "ip route flush proto 214",
        "no worker has a route to the others' pods",
        "fab apply-routes",
    ),
    Fault(
        "a wrong next hop",
        "worker-0",
        "ip route replace 10.200.1.0/24 via 10.240.0.99 proto 214",
        "worker-0 sends packets for worker-1's pods via 10.240.0.99, not via 10.240.0.7",
        "fab apply-routes",
    ),
    Fault(
        "a wrong next hop that works, because that worker forwards",
        "worker-0",
        "ip route replace 10.200.2.0/24 via 10.240.0.7 proto 214",
        "worker-0 sends packets for worker-2's pods via 10.240.0.7, not via 10.240.0.8",
        status=0,
    ),
    Fault(
        "a longer prefix that somebody else added",
        "worker-0",
        "ip route add 10.200.1.128/25 via 10.240.0.99",
        "worker-0 sends packets for worker-1's pods via 10.240.0.99, not via 10.240.0.7",
        "fab apply-routes --replace",
    ),
    Fault(
        "a route that sends packets for its own pods to another worker",
        "worker-1",
        "ip route del 10.200.1.0/24; ip route add 10.200.1.0/24 via 10.240.0.6",
        "worker-1 sends packets for its own pods via 10.240.0.6",
        "on worker-1: ip route del 10.200.1.0/24 via 10.240.0.6 dev enp6s0 proto boot;"
        " ip route add 10.200.1.0/24 dev cnio0",
    ),
    Fault(
        "a policy rule that diverts packets",
        "worker-1",
        "ip rule add to 10.200.0.0/24 lookup 7 pref 99; ip route add blackhole default table 7",
        "a policy rule on worker-1 diverts pod traffic before the main table: 99: from all to"
        " 10.200.0.0/24 lookup 7",
        "on worker-1, and where that rule is configured: ip rule add to 10.200.0.0/16 lookup main",
    ),
    Fault(
        "a route for a part of a worker's pods that no probe is in",
        "worker-0",
        "ip route add blackhole 10.200.1.0/25",
        "worker-0 sends packets for 10.200.1.0/25, a part of worker-1's pods, nowhere"
        " (blackhole 10.200.1.0/25)",
        "fab apply-routes --replace",
    ),
    Fault(
        "ip_forward is 0",
        "worker-1",
        "echo 0 >/proc/sys/net/ipv4/ip_forward",
        "worker-1 does not forward IPv4: net.ipv4.ip_forward is 0",
        f"on worker-1: echo net.ipv4.ip_forward=1 >>{SYSCTLS}; sysctl -p {SYSCTLS}",
    ),
    Fault(
        "one interface does not forward",
        "worker-1",
        "echo 0 >/proc/sys/net/ipv4/conf/enp6s0/forwarding",
        "worker-1 does not forward IPv4: net.ipv4.conf.enp6s0.forwarding is 0",
        f"on worker-1: echo net.ipv4.conf.enp6s0.forwarding=1 >>{SYSCTLS}; sysctl -p {SYSCTLS}",
    ),
    Fault(
        "IPv6 forwarding is off",
        "worker-1",
        "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
        "worker-1 does not forward IPv6: net.ipv6.conf.all.forwarding is 0",
        f"on worker-1: echo net.ipv6.conf.all.forwarding=1 >>{SYSCTLS}; sysctl -p {SYSCTLS}",
        cluster=dual_stack(3),
    ),
    Fault(
        "FORWARD has the policy DROP, for IPv6",
        "worker-1",
        "ip6tables -P FORWARD DROP",
        f"{DROPS} ip6tables, policy DROP of FORWARD",
        "on worker-1: ip6tables -I FORWARD -s fd00:200::/48 -j ACCEPT;"
        f" ip6tables -I FORWARD -d fd00:200::/48 -j ACCEPT; {KEEP}",
        cluster=dual_stack(3),
    ),
    Fault(
        "FORWARD has the policy DROP",
        "worker-1",
        "iptables -P FORWARD DROP",
        f"{DROPS} iptables, policy DROP of FORWARD",
        ACCEPT,
    ),
    Fault(
        "FORWARD has the policy DROP, in the backend that iptables does not use",
        "worker-1",
        LEGACY,
        f"{DROPS} iptables-legacy, policy DROP of FORWARD",
        f"on worker-1: iptables-legacy -I FORWARD -s {PODS} -j ACCEPT;"
        f" iptables-legacy -I FORWARD -d {PODS} -j ACCEPT;"
        " write the same where these rules are set at boot",
    ),
    Fault(
        "a rule in raw PREROUTING",
        "worker-1",
        f"iptables -t raw -A PREROUTING -s {PODS} -i enp6s0 -j DROP",
        f"{DROPS} iptables, -A PREROUTING -s 10.200.0.0/16 -i enp6s0 -j DROP",
        f"accept packets from and to {PODS} before that rule",
    ),
    Fault(
        "a set without counters that has one worker's pods",
        "worker-1",
        "nft 'add table inet t; add set inet t s { type ipv4_addr; flags interval; };"
        " add element inet t s { 10.200.0.0/24 }; add chain inet t c"
        " { type filter hook prerouting priority raw; }; add rule inet t c ip saddr @s drop'",
        f"{DROPS} nft, inet t c: ip saddr @s drop",
        f"accept packets from and to {PODS} before that rule",
        innocent=INNOCENT,
    ),
    Fault(
        "Docker's FORWARD (chains made by hand)",
        "worker-1",
        DOCKER,
        f"{DROPS} iptables, policy DROP of FORWARD (set by Docker)",
        "on worker-1: iptables -P FORWARD ACCEPT;"
        f" echo net.ipv4.ip_forward=1 >>{SYSCTLS}; sysctl -p {SYSCTLS}",
    ),
    Fault(
        "ufw enabled, which lets pings through (with --tcp 80)",
        "worker-1",
        UFW,
        f"{DROPS} iptables, policy DROP of FORWARD (set by ufw)",
        f"on worker-1: ufw route allow from {PODS}; ufw route allow to {PODS}",
        options=("--tcp", "80"),
    ),
    Fault(
        "firewalld (table made by hand)",
        "worker-1",
        FIREWALLD,
        f"{DROPS} nft, inet firewalld filter_FORWARD: reject (set by firewalld)",
        f"on worker-1: firewall-cmd --permanent --zone=trusted --add-source={PODS};"
        " firewall-cmd --reload",
    ),
    Fault(
        "a rule that drops one worker's pods",
        "worker-1",
        "iptables -A FORWARD -s 10.200.0.0/24 -j DROP",
        f"{DROPS} iptables, -A FORWARD -s 10.200.0.0/24 -j DROP",
        ACCEPT,
    ),
    Fault(
        "a rule that rejects",
        "worker-1",
        f"iptables -A FORWARD -s {PODS} -j REJECT",
        f"{DROPS} iptables, -A FORWARD -s 10.200.0.0/16 -j REJECT",
        ACCEPT,
    ),
    Fault(
        "an nft table without counters",
        "worker-1",
        "nft 'add table ip t; add chain ip t c"
        " { type filter hook forward priority 0; policy drop; }'",
        f"{DROPS} nft, policy drop of ip t c",
        f"accept {PODS} before that rule, in /etc/nftables.conf or where its table is defined",
    ),
    Fault(
        "the internal link is down",
        "worker-1",
        "ip link set enp6s0 down",
        "worker-1: enp6s0 is down",
        "on worker-1: ip link set enp6s0 up; then, from here: fab apply-routes",
    ),
    Fault(
        "the cable pulled",
        "network",
        "ip link set 1-enp6s0 down",
        "worker-1: enp6s0 has no carrier",
        "check its cable and its port; then, from here: fab apply-routes",
    ),
    Fault(
        "a port in another VLAN",
        "network",
        "ip link set 1-enp6s0 nomaster",
        "worker-1 and the others do not reach each other on the link of their internal IPs",
        "check that enp6s0 of worker-1 is in the same VLAN or private network as the others",
    ),
    Fault(
        "the pod bridge is down",
        "worker-1",
        "ip link set cnio0 down",
        "worker-1: pod bridge cnio0 is down",
        "on worker-1: ip link set cnio0 up",
    ),
    Fault(
        "the pod bridge is missing (with --pods)",
        "worker-1",
        "ip link del cnio0",
        "worker-1: pod bridge cnio0 is missing, its pods are cut off",
        "restart the pods of worker-1: the first one creates the bridge again",
        options=("--pods",),
    ),
    Fault(
        "the pod bridge of an old pod CIDR",
        "worker-1",
        "ip addr flush dev cnio0; ip addr add 10.200.9.1/24 dev cnio0",
        "worker-1: pod CIDR is 10.200.1.0/24 in hosts.toml, but 10.200.9.0/24 in the address of"
        " cnio0",
        status=1,
    ),
    Fault(
        "kubenet's bridge, which no CNI config names, is down",
        "worker-1",
        KUBENET,
        "worker-1: pod bridge cbr0 is down",
        "on worker-1: ip link set cbr0 up",
    ),
    Fault(
        "kubenet's bridge of an old pod CIDR",
        "worker-1",
        f"{KUBENET}; ip addr flush dev cbr0; ip addr add 10.200.9.1/24 dev cbr0",
        "worker-1: pod CIDR is 10.200.1.0/24 in hosts.toml, but 10.200.9.0/24 in the address of"
        " cbr0",
        status=1,
    ),
    Fault(
        "anti-spoofing at one port",
        "network",
        SWITCH % "ip saddr 10.200.1.0/24",
        "packets from worker-1's pods to the others are lost on the network between them",
        NETWORK,
    ),
    Fault(
        "anti-spoofing at one port, and rules that let pods through",
        "network",
        SWITCH % "ip saddr 10.200.1.0/24",
        "packets from worker-1's pods to the others are lost on the network between them",
        NETWORK,
        innocent=INNOCENT,
    ),
    Fault(
        "anti-spoofing at one port, and a rule that may or may not match",
        "network",
        SWITCH % "ip saddr 10.200.1.0/24",
        f"{UNSURE} nft, inet f c: ct mark 0x00000007 drop",
        "run fab verify again and see on worker-1 whether they pass:"
        f" tcpdump -ni enp6s0 net {PODS}",
        innocent=MARKED,
    ),
    Fault(
        "anti-spoofing at every port",
        "network",
        SWITCH % f"ip saddr {PODS} ip daddr {PODS}",
        "packets between pods are lost on the network between the machines",
        NETWORK,
    ),
    Fault(
        "answers that are lost",
        "network",
        SWITCH % "ip saddr 10.200.1.0/24 ip daddr 10.200.0.0/24 icmp type echo-reply",
        "packets from worker-1's pods to worker-0 are lost on the network between them",
        NETWORK,
    ),
    Fault(
        "a strict reverse-path filter, and two paths",
        "hosts.toml",
        '"10.240.0.6"|"203.0.113.10"\n["10.240.0.0/24"]|["10.240.0.0/24", "203.0.113.0/24"]\n'
        "worker-1: echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
        "strict reverse-path filtering on worker-1 drops packets: net.ipv4.conf.all.rp_filter is 1",
        f"on worker-1: echo net.ipv4.conf.all.rp_filter=2 >>{SYSCTLS}; sysctl -p {SYSCTLS}",
    ),
    Fault(
        "a link with a smaller MTU than pods have",
        "worker-1",
        "ip link set enp6s0 mtu 1400",
        "worker-1: enp6s0 has an MTU of 1400 bytes, pods send larger packets",
        SMALLER,
    ),
    Fault(
        "a pod bridge with a smaller MTU than the others",
        "worker-1",
        "ip link set cnio0 mtu 1400",
        "worker-1: cnio0 has an MTU of 1400 bytes, pods send larger packets",
        'on worker-1: ip link set cnio0 mtu 1500; write the same "mtu" into the CNI config of every'
        " worker",
    ),
    Fault(
        "no machine forwards",
        "workers",
        "echo 0 >/proc/sys/net/ipv4/ip_forward",
        "worker-0, worker-1, worker-2 do not forward IPv4: net.ipv4.ip_forward is 0",
        f"on each of them: echo net.ipv4.ip_forward=1 >>{SYSCTLS}; sysctl -p {SYSCTLS}",
    ),
    Fault(
        "a network with a smaller MTU that sends no ICMP errors",
        "network",
        "ip link set 1-enp6s0 mtu 1400",
        "packets above 1400 bytes are lost between worker-1 and the others",
        SMALLER,
    ),
    Fault(
        "a node without sshd",
        "worker-1",
        "kill $(cat /run/sshd.pid)",
        "worker-1: 203.0.113.11 port 22: connection refused: is it up, is sshd running?",
        status=1,
    ),
    Fault(
        "a rule that rejects TCP from pods (with --tcp 80)",
        "worker-1",
        f"iptables -A FORWARD -s {PODS} -p tcp -j REJECT",
        f"{DROPS} iptables, -A FORWARD -s 10.200.0.0/16 -p tcp -j REJECT",
        ACCEPT,
        options=("--tcp", "80"),
    ),
    Fault(
        "no route in the table of a network that routes (Hetzner)",
        "provider",
        f"{REMOVE}7",
        "the network kubernetes has no route to the pods of worker-1",
        f"on your own machine: {ADD}7",
        cluster=NETWORK_OF_HETZNER,
    ),
    Fault(
        "a route there that leads to another server",
        "provider",
        f"{REMOVE}7 && {ADD}8",
        "the network kubernetes sends packets for worker-1's pods via 10.240.0.8, not via"
        " 10.240.0.7",
        f"on your own machine: {REMOVE}8; {ADD}7",
        cluster=NETWORK_OF_HETZNER,
    ),
    Fault(
        "no routes there at all",
        "provider",
        "for n in 0 1 2; do hcloud network remove-route kubernetes --destination 10.200.$n.0/24"
        " --gateway 10.240.0.$((n + 6)) || exit; done",
        "the network kubernetes has no route to the pods of worker-0, worker-1, worker-2",
        "fab apply-routes",
        cluster=NETWORK_OF_HETZNER,
    ),
    Fault(
        "a wrong next hop in a network that routes",
        "worker-0",
        "ip route replace 10.200.1.0/24 via 203.0.113.1 proto 214",
        "worker-0 sends packets for worker-1's pods via 203.0.113.1, not via 10.240.0.1",
        "fab apply-routes",
        cluster=NETWORK_OF_HETZNER,
    ),
    Fault(
        "a firewall in a network that routes",
        "worker-1",
        "iptables -P FORWARD DROP",
        f"{DROPS} iptables, policy DROP of FORWARD",
        ACCEPT,
        cluster=NETWORK_OF_HETZNER,
    ),
    Fault(
        "no route in the route table of a VPC (AWS)",
        "provider",
        f"aws ec2 delete-route {TO_PODS}",
        "the network rtb-1 has no route to the pods of worker-1",
        f"on your own machine: aws ec2 create-route {TO_PODS} {INTERFACE}{1:017x}",
        cluster=NETWORK_OF_AWS,
    ),
    Fault(
        "a route there that leads to another instance",
        "provider",
        f"aws ec2 replace-route {TO_PODS} {INTERFACE}{2:017x}",
        "the network rtb-1 sends packets for worker-1's pods via 10.240.0.8, not via 10.240.0.7",
        f"on your own machine: aws ec2 replace-route {TO_PODS} {INTERFACE}{1:017x}",
        cluster=NETWORK_OF_AWS,
    ),
    Fault(
        "an instance whose source/destination check is on",
        "provider",
        UNCHECKED.replace("--no-", "--"),
        "the network rtb-1 drops packets of the pods of worker-1: its source/destination check is"
        " on",
        f"on your own machine: {UNCHECKED}",
        cluster=NETWORK_OF_AWS,
    ),
    Fault(
        "nothing in a network that routes",
        "worker-1",
        "true",
        "",
        status=0,
        cluster=NETWORK_OF_HETZNER,
    ),
    Fault("nothing", "worker-1", "true", "", status=0),
    Fault(
        "nothing (with --pods, on kubenet's bridge)",
        "worker-1",
        f"{KUBENET}; ip link set cbr0 up",
        "",
        status=0,
        options=("--pods",),
    ),
    Fault("nothing (with --tcp 80)", "worker-1", "true", "", status=0, options=("--tcp", "80")),
)


def put_routes(lab: Lab) -> None:
    """Add every route, as apply-routes does."""
    network = lab.cluster.network
    if network is not None and network.provider == "aws":
        for number, _ in enumerate(lab.cluster.workers):
            to = TO_PODS.replace(".1.0/24", f".{number}.0/24")
            here(lab, f"aws ec2 create-route {to} {INTERFACE}{number:017x}")
            here(lab, UNCHECKED.replace(f"{1:017x}", f"{number:017x}"))
        return
    for machine in lab.cluster.machines:
        adds = [
            f"ip route add {own_route(cidr, ROUTER if network else via, 'enp6s0').words}"
            for worker in lab.cluster.workers
            for cidr in worker.pod_cidrs
            if worker != machine and (via := worker.internal_ip(cidr.version))
        ]
        on(lab, machine.name, " && ".join(adds))
    for number, _ in enumerate(lab.cluster.workers if network else ()):
        here(lab, f"{ADD.replace('.1.0/24', f'.{number}.0/24')}{6 + number}")


def here(lab: Lab, command: str) -> None:
    """Run a command line of the operator's, where a provider's program is the twin's stand-in."""
    subprocess.run(
        [*lab.inside, "sh", "-c", command], env=lab.environment, check=True, capture_output=True
    )


def make(lab: Lab, fault: Fault) -> None:
    """Make the fault on a lab that has all routes."""
    for line in fault.what.splitlines() if fault.where == "hosts.toml" else ():
        old, bar, new = line.partition("|")
        if bar:
            text = lab.cluster.path.read_text()
            assert old in text
            lab.cluster.path.write_text(text.replace(old, new, 1))
        else:
            ok(lab.fab("apply-routes", "--no-ping", "--yes"))
            name, _, command = line.partition(": ")
            on(lab, name, command)
    if fault.innocent:
        on(lab, "worker-1", fault.innocent)
    if fault.where == "network":
        subprocess.run([*lab.inside, "sh", "-c", fault.what], check=True)
    elif fault.where == "provider":
        here(lab, fault.what)
    elif fault.where == "workers":
        for machine in lab.cluster.workers:
            on(lab, machine.name, fault.what)
    elif fault.where != "hosts.toml":
        if "ufw" in fault.what:
            bring(lab, fault.where, Path("/etc/default/ufw"), Path("/etc/ufw"))
        on(lab, fault.where, fault.what)


def bring(lab: Lab, machine: str, *places: Path) -> None:
    """Copy files to a machine of the twin, which has only the programs of this machine."""
    files = [f for place in places for f in (place.rglob("*") if place.is_dir() else [place])]
    for file in filter(Path.is_file, files):
        script = (
            f"mkdir -p {file.parent}; cat >{file}; chmod {file.stat().st_mode & 0o777:o} {file}"
        )
        lab.twin.run(machine, ["sh", "-c", script], check=True, input=file.read_text())


@dataclass(frozen=True)
class Said:
    """What verify said, and its status after the remedies were typed."""

    status: int
    causes: tuple[tuple[str, str], ...]  # words, remedy
    error: str
    mended: int | None = None  # None where no remedy has commands
    silent: frozenset[tuple[str, ...]] = frozenset()  # the pairs that lost packets, and how


def said(lab: Lab, fault: Fault) -> Said:
    """What verify says about a fault. Type its remedies, and verify again, twice at most."""
    first = done = lab.fab("verify", "--format", "json", *fault.options)
    mended = None
    for _ in range(2):
        typed = [take_advice(lab, remedy) for _, remedy in causes_in(done)]
        if not any(typed):
            break
        done = lab.fab("verify", "--format", "json", *fault.options)
        mended = done.returncode
    return Said(first.returncode, causes_in(first), first.stderr, mended, silent_in(first))


def silent_in(done: "subprocess.CompletedProcess[str]") -> frozenset[tuple[str, ...]]:
    """The pairs that lost packets: who sent, to whom, the verdict."""
    pairs = json.loads(done.stdout)["pairs"] if done.returncode != 1 else ()
    what = ("from", "to", "family", "sent_by", "verdict")
    return frozenset(tuple(str(p[word]) for word in what) for p in pairs if not p["ok"])


def causes_in(done: "subprocess.CompletedProcess[str]") -> tuple[tuple[str, str], ...]:
    """The causes that verify names, and their remedies; then the routes that are not planned."""
    assert "Traceback" not in done.stderr
    if done.returncode == 1:
        return ()
    found = json.loads(done.stdout)
    unplanned = ((m["unplanned"], "") for m in found["machines"] if m["unplanned"])
    return (*((cause["words"], cause["remedy"]) for cause in found["causes"]), *unplanned)


def take_advice(lab: Lab, remedy: str) -> bool:
    """Type the commands of a remedy. False where it has none, or the twin lacks the program."""
    on_machine = re.match(r"on ([^:]+): (.*)", remedy)
    where, commands = (on_machine[1], on_machine[2].split("; ")) if on_machine else ("", [])
    if remedy.startswith("fab "):
        ok(lab.fab(*remedy.split()[1:], "--yes"))
    every = [w.name for w in lab.cluster.workers]
    names = every if where.startswith("each of them") else [where.partition(",")[0]]
    for command in commands:
        _, from_here, task = command.partition("then, from here: fab ")
        program = command.split()[0]
        for name in names:
            if from_here:
                ok(lab.fab(task, "--yes"))
            elif name == "your own machine":
                here(lab, command)
            elif program == "firewall-cmd":
                return False
            elif program not in ("netfilter-persistent", "write"):
                on(lab, name, command)
    return bool(commands) or remedy.startswith("fab ")


pytestmark = pytest.mark.timeout(400)  # the first test waits for all faults


@pytest.fixture(scope="module")
def sayings(tmp_path_factory: MakeDirectory) -> Iterator[Mapping[str, Said]]:
    """What verify said of each fault."""
    tmp_path_factory.mktemp("first")  # the threads below would make a base of their own each
    with labs(tmp_path_factory) as make_lab:

        def run(fault: Fault) -> Said:
            lab = make_lab(fault.cluster)
            try:
                put_routes(lab)
                make(lab, fault)
                return said(lab, fault)
            finally:
                lab.twin.stop()

        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield dict(zip((f.name for f in FAULTS), pool.map(run, FAULTS), strict=True))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_cause_is_named_and_nothing_else(fault: Fault, sayings: Mapping[str, Said]) -> None:
    found = sayings[fault.name]
    assert found.status == fault.status
    if fault.status == 1:
        assert fault.words in found.error
    else:
        assert found.causes == (((fault.words, fault.remedy),) if fault.words else ())
    assert found.mended in (0, None)
    commands = fault.remedy.startswith(("on ", "fab ")) and "firewall-cmd" not in fault.remedy
    assert (found.mended == 0) is commands


def test_an_mtu_that_the_kernel_remembers_is_told_from_one_that_is(make_lab: MakeLab) -> None:
    lab = make_lab(tutorial())
    put_routes(lab)
    on(lab, "worker-1", "ip link set cnio0 mtu 1400")
    assert lab.fab("verify").returncode == 5
    on(lab, "worker-1", "ip link set cnio0 mtu 1500")
    ((words, remedy),) = causes_in(lab.fab("verify", "--format", "json"))
    assert words == "worker-0, worker-2: the cached path MTU to some pods is still too small"
    assert take_advice(lab, remedy)
    ok(lab.fab("verify"))


HEAD = """# What verify says about each fault

Each fault was made on a twin of three workers with all routes in place. The twin has real OpenSSH
servers, kernel tables, firewalls and CNI pods. `fab verify` had to name this cause and no other.
Where the remedy has commands, they were typed, and then `fab verify` had to find nothing wrong.
Docker and firewalld do not run on the twin: their chains and tables are made by hand. A fault at
`network` is on the switch between the machines, where none of them can see it. A fault at
`provider` is in the table of a network that routes packets between machines, as at Hetzner Cloud
and AWS: the twin's router leads packets by it, and stand-ins for hcloud and aws change it.

"""


def test_the_table_of_faults_is_what_was_seen(sayings: Mapping[str, Said]) -> None:
    """The test writes the table anew where it differs, and fails once."""
    lines = ["| fault | where | what verify says | remedy |", "|---|---|---|---|"]
    for fault in FAULTS:
        found = sayings[fault.name]
        words, remedy = found.causes[0] if found.causes else (found.error.strip(), "")
        shown = (line.strip() for line in words.splitlines() if fault.words in line)
        line = next(shown, "(nothing)")
        lines.append(f"| {fault.name} | {fault.where} | {line} | {remedy} |".replace("  ", " "))
    assert says(DOC, HEAD + "\n".join(lines))
