"""What one machine may say, of any size: for tests of what reading and planning cost."""

from collections.abc import Iterator, Sequence

from .builders import DEV, node, pods

PODS = 3  # endpoints of a service


def nft_of_services(services: int) -> list[str]:
    """The firewall section of a machine whose kube-proxy is in its nftables mode."""
    lines = [
        "nft",
        "table ip kube-proxy {",
        "\tmap service-ips {",
        *(
            f"\t\t\t     {_service(n)} . tcp . 80 : goto {_chain('service', n)},"
            for n in range(services)
        ),
        "\t}",
        *_base("filter-prerouting", "prerouting", "jump service-endpoints-check"),
        *_base("filter-input", "input", "jump firewall-check"),
        *_base("filter-forward", "forward", "jump firewall-check"),
        *_base("filter-output", "output", "jump firewall-check"),
        *_base("nat-prerouting", "prerouting", "jump services"),
        *_base("nat-output", "output", "jump services"),
        *_base("nat-postrouting", "postrouting", "jump masquerading"),
        "\tchain firewall-check {",
        *(
            f"\t\tip daddr {_service(n)} ip saddr 10.9.{n % 256}.0/24 goto {_chain('firewall', n)}"
            for n in range(services)
        ),
        "\t}",
        "\tchain services {",
        *(
            f"\t\tip daddr {_service(n)} tcp dport 80 goto {_chain('service', n)}"
            for n in range(services)
        ),
        "\t}",
    ]
    for n in range(services):
        ends = [f"{_chain('endpoint', n)}__{_pod(n, p)}/80" for p in range(PODS)]
        choices = ", ".join(f"{p} : goto {end}" for p, end in enumerate(ends))
        lines += [
            f"\tchain {_chain('service', n)} {{",
            f"\t\tnumgen random mod {PODS} vmap {{ {choices} }}",
            "\t}",
            f"\tchain {_chain('firewall', n)} {{",
            f'\t\tcounter packets {n} bytes {60 * n} drop comment "not its source range"',
            "\t}",
            *(
                line
                for p, end in enumerate(ends)
                for line in (
                    f"\tchain {end} {{",
                    f"\t\tip saddr {_pod(n, p)} jump mark-for-masquerade",
                    "\t}",
                )
            ),
        ]
    return [*lines, "}"]


def iptables_of_services(services: int) -> list[str]:
    """The same of kube-proxy in its iptables mode; one service in ten has no endpoints."""
    lines = [
        "*filter",
        ":INPUT ACCEPT [10:840]",
        ":FORWARD DROP [12:1008]",
        ":KUBE-FIREWALL - [0:0]",
        ":KUBE-SERVICES - [0:0]",
        *(f":KUBE-{kind}-{n:016X} - [0:0]" for n in range(services) for kind in ("SVC", "FW")),
        *(f":{_end(n, p)} - [0:0]" for n in range(services) for p in range(PODS)),
        "[9:756] -A INPUT -j KUBE-FIREWALL",
        "[9:756] -A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES",
        "[0:0] -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP",
    ]
    for n in range(services):
        to = f"-d {_service(n)}/32 -p tcp -m tcp --dport 80"
        name = f'-m comment --comment "default/service-{n}:http cluster IP"'
        lines.append(f"[{n}:{60 * n}] -A KUBE-SERVICES {to} {name} -j KUBE-SVC-{n:016X}")
        if n % 10 == 0:
            refused = "-j REJECT --reject-with icmp-port-unreachable"
            lines.append(f"[{n}:{60 * n}] -A KUBE-SERVICES {to} {refused}")
        lines.append(f"[0:0] -A KUBE-SVC-{n:016X} -j KUBE-FW-{n:016X}")
        lines.append(f"[{n}:{60 * n}] -A KUBE-FW-{n:016X} {name} -j DROP")
        lines += (f"[0:0] -A KUBE-SVC-{n:016X} {name} -j {_end(n, p)}" for p in range(PODS))
        lines += (f"[0:0] -A {_end(n, p)} -s {_pod(n, p)}/32 -j KUBE-MARK" for p in range(PODS))
    return lines


def _base(name: str, hook: str, rule: str) -> Iterator[str]:
    yield f"\tchain {name} {{"
    yield f"\t\ttype filter hook {hook} priority filter; policy accept;"
    yield f"\t\tct state new {rule}"
    yield "\t}"


def _chain(kind: str, n: int) -> str:
    return f"{kind}-{n:08X}-default/service-{n}/tcp/http"


def _end(n: int, pod: int) -> str:
    return f"KUBE-SEP-{n:012X}{pod:04X}"


def _service(n: int) -> str:
    return f"10.96.{n // 256}.{n % 256}"


def _pod(n: int, pod: int) -> str:
    return f"10.{200 + pod}.{n // 256}.{n % 256}"


def answer(number: int, *routes: str, **more: Sequence[str]) -> str:
    """What a worker of `builders.cluster` says: these routes and sections besides its own.

    A section with a detail is named with an underscore: `kept_4`.
    """
    own = {
        "route_4": [
            f"unicast default via 10.240.0.1 dev {DEV} table main proto static",
            f"unicast 10.240.0.0/24 dev {DEV} table main proto kernel scope link",
            *routes,
        ],
        "address": [f"2: {DEV}    inet {node(number)}/24 scope global {DEV}"],
        "rule_4": ["0:\tfrom all lookup local"],
    }
    last = {"rule_4": ["32766:\tfrom all lookup main"], "answering": []}
    names = dict.fromkeys((*own, *more, *last))
    return "\n".join(
        line
        for name in names
        for line in (
            f"== {name.replace('_', ' ', 1)}",
            *(line for part in (own, more, last) for line in part.get(name, ())),
        )
    )


def routes_inside(of: int, number: int, words: str) -> list[str]:
    """So many routes to single addresses of a worker's pods; past 256 the metric differs too."""
    base = pods(of).removesuffix("0/24")
    return [f"unicast {base}{n % 256} {words} metric {n // 256 + 1}" for n in range(number)]
