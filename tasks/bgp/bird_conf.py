"""The configuration of BIRD 2 for one machine. The format: BIRD 2.0 User's Guide, chapters 3 to 6.

A machine announces its own pod CIDRs and nothing else. It accepts pod CIDRs of exactly the lengths
that the cluster has: from a machine only its own, from a reflector any. What it has accepted goes
to the kernel with this tool's metric, behind the static routes. Nothing is learned from the kernel.
"""

from collections.abc import Iterable, Iterator

from tasks.common.values import Network
from tasks.inventory.model import Bgp, Cluster, Machine

from .sessions import Relation, Session, reflectors, sessions

METRIC = 2140  # above that of static routes, which is 1024 for IPv6
HOLD_TIME = 9  # seconds without a word from a neighbor until its routes go
RECOVERY = 10  # seconds that a BIRD that has started waits for neighbors that may be away
RESTART_TIME = 120  # seconds that routes stay of a neighbor whose BIRD has ended without a word
STALE_TIME = 86400  # seconds that the routes of a reflector stay after that
NO_LLGR = "(65535, 7)"  # the community of routes that do not stay that long: RFC 9494
RUN = "/run/pod-routes-bird"  # what BIRD runs with
BOOT = "/etc/pod-routes"  # the copies of it that come back at boot
PASSWORD = f"{RUN}/bgp-password.conf"  # apart, so that the configuration can be shown
UNIT = "pod-routes-bird.service"

_HEAD = "# Made by `fab apply-routes`; `fab rollback` removes it."


def bird_conf(cluster: Cluster, bgp: Bgp, machine: Machine) -> str:
    """The text of RUN/bird.conf on a machine."""
    families = sorted({ip.version for ip in machine.internal_ips})
    return "\n".join(
        [
            _HEAD,
            "log syslog all;",
            f"router id {_router_id(machine)};",
            f"graceful restart wait {RECOVERY};",
            "protocol device { scan time 10; }",
            *(['protocol bfd { interface "*" { interval 100 ms; multiplier 3; }; }'] * bgp.bfd),
            *(line for family in families for line in _tables(cluster, machine, family)),
            *_template(bgp),
            *(
                line
                for session in sessions(cluster, bgp, machine)
                for line in _session(cluster, bgp, machine, session)
            ),
            "",
        ]
    )


def password_conf(password: str) -> str:
    """The text of PASSWORD; a password has no quotes, backslashes or line ends."""
    return f'password "{password}";'


def unit() -> str:
    """The systemd unit (systemd.service(5)). At boot there is nothing in RUN: it takes the copies.

    A start is always one with recovery (`-R`). BIRD is ended without a word to its neighbors, so
    that they wait for it: neither a crash nor a restart, as after an upgrade, loses a route.
    Only a machine that shuts down tells them, and its routes go. A reflector does not: the others
    keep their routes even if all reflectors shut down at once.
    systemd makes no RuntimeDirectory: it would give the files there to root.
    """
    home = f"mkdir -p {RUN} && cd {RUN} && chown bird:bird ."
    take = f"{{ [ -e bird.conf ] || install -m 640 -g bird {BOOT}/*.conf . ; }}"
    bird = "exec bird -f -R -u bird -g bird -c bird.conf -s bird.ctl -P bird.pid"
    goes = '[ "$$(systemctl is-system-running)" = stopping ] && ! grep -q "rr client" bird.conf'
    bye = "birdc -s bird.ctl down; while birdc -s bird.ctl show status; do sleep 0.1; done"
    return (
        f"{_HEAD}\n[Unit]\nDescription=Routes to other workers' pods by BGP\n"
        "Wants=network-online.target\nAfter=network-online.target\n"
        "StartLimitIntervalSec=0\n\n"
        "[Service]\nEnvironment=PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"ExecStart=/bin/sh -c '{home} && {take} && {bird}'\n"
        f"ExecStop=/bin/sh -c 'cd {RUN} && if {goes}; then {bye}; fi'\nTimeoutStopSec=5\n"
        "KillSignal=SIGKILL\nSuccessExitStatus=SIGKILL\nRestart=always\nRestartSec=1\n\n"
        "[Install]\nWantedBy=multi-user.target"
    )


def sessions_restart(before: str, after: str) -> bool:
    """Whether BIRD ends sessions that both configurations have, because it finds them changed."""
    old, new = _blocks(before), _blocks(after)
    return any(old[name] != new[name] for name in old.keys() & new.keys())


def _blocks(conf: str) -> dict[str, str]:
    """The sessions of a configuration, by name, and under "" what stands before them."""
    head, *sessions = conf.split("protocol bgp '")
    return {"": head, **{text.partition("'")[0]: text for text in sessions}}


def _router_id(machine: Machine) -> str:
    """The IPv4 address, else the last 32 bits of the IPv6 address, as four numbers."""
    if first := machine.internal_ip(4):
        return str(first)
    last = (machine.internal_ips[0]).packed[-4:]
    return ".".join(map(str, last))


def _tables(cluster: Cluster, machine: Machine, family: int) -> Iterator[str]:
    """What a machine announces, and what goes to its kernel."""
    own = [cidr for cidr in machine.pod_cidrs if cidr.version == family]
    yield f"protocol static own{family} {{"
    yield f"  ipv{family};"
    yield from (f"  route {cidr} blackhole;" for cidr in own)
    yield "}"
    yield f"protocol kernel kernel{family} {{"
    yield f"  metric {METRIC};"
    yield "  scan time 10;"
    yield "  persist;"
    yield "  graceful restart;"
    yield f"  ipv{family} {{ import none; export where source = RTS_BGP; }};"
    yield "}"
    yield f"function is_pods{family}()"
    yield "{"
    yield f"  return net ~ [{', '.join(_patterns(cluster, family))}];"
    yield "}"


def _patterns(cluster: Cluster, family: int) -> Iterator[str]:
    """Prefix patterns: inside pod_networks, of the lengths that the cluster's pod CIDRs have."""
    lengths = {c.prefixlen for w in cluster.workers for c in w.pod_cidrs if c.version == family}
    for network in cluster.pod_networks:
        if network.version == family:
            yield from (
                f"{network}{{{length},{length}}}"
                for length in sorted(lengths)
                if length >= network.prefixlen
            )


def _template(bgp: Bgp) -> Iterator[str]:
    """What all sessions have in common."""
    yield "template bgp session {"
    yield "  direct;"
    yield "  strict bind;"
    yield "  ttl security on;"
    yield f"  hold time {HOLD_TIME};"
    yield f"  startup hold time {HOLD_TIME};"  # else a half-open connection is kept for 240 s
    yield "  connect delay time 0;"
    yield "  connect retry time 2;"
    yield "  error wait time 1, 5;"
    yield "  graceful restart on;"
    yield f"  graceful restart time {RESTART_TIME};"
    if bgp.password_file:
        yield f'  include "{PASSWORD}";'
    yield "}"


def _session(cluster: Cluster, bgp: Bgp, machine: Machine, session: Session) -> Iterator[str]:
    family = session.local.version
    yield f"protocol bgp '{session.name}' from session {{"
    yield f'  description "{session.neighbor}";'
    yield f"  local {session.local} port {bgp.port} as {bgp.as_number};"
    yield f"  neighbor {session.remote} port {bgp.port} as {session.remote_as};"
    reflects = machine.name in reflectors(cluster, bgp)
    yield from _silence(bgp, reflects, session.relation)
    if session.relation is Relation.CLIENT:
        yield "  rr client;"
        yield f"  rr cluster id {_router_id(machine)};"
    yield f"  ipv{family} {{"
    yield f"    import where {_accepted(session)};"
    yield f"    import limit {_limit(cluster, session)} action block;"
    yield f"    export filter {{ {_exported(cluster, bgp, machine, session)} }};"
    yield "    gateway direct;"
    yield "  };"
    yield "}"


def _silence(bgp: Bgp, reflects: bool, relation: Relation) -> Iterator[str]:
    """What becomes of the routes of a neighbor that is silent: its machine may be dead.

    Those of a dead machine go. But a client keeps those of a reflector: they lead to others.
    `reflects`: whether this machine is a reflector itself.
    """
    keeps = relation is Relation.REFLECTOR and not reflects
    if bgp.bfd:
        yield f"  bfd {'graceful' if keeps else 'on'};"
    if relation is Relation.CLIENT:
        yield "  long lived graceful restart on;"
        yield f"  long lived stale time {STALE_TIME};"
    else:
        yield f"  long lived graceful restart {'aware' if keeps else 'off'};"


def _accepted(session: Session) -> str:
    if session.relation is Relation.REFLECTOR:
        return f"is_pods{session.local.version}()"
    if not session.accept:
        return "false"
    return f"net ~ {_set(session.accept)}"


def _exported(cluster: Cluster, bgp: Bgp, machine: Machine, session: Session) -> str:
    """A filter: a machine's own prefixes. A reflector also passes on those of others."""
    own = f'proto = "own{session.local.version}"'
    reflects = machine.name in reflectors(cluster, bgp)
    if not reflects or session.relation is Relation.ROUTER:
        return f"if {own} then accept; reject;"
    marked = f"{{ bgp_community.add({NO_LLGR}); accept; }}"
    return f"if {own} then {marked} if source = RTS_BGP then accept; reject;"


def _set(prefixes: Iterable[Network]) -> str:
    """A set of prefixes that matches exactly these."""
    return f"[{', '.join(map(str, prefixes))}]"


def _limit(cluster: Cluster, session: Session) -> int:
    """How many prefixes a neighbor may announce: it need not change as the cluster grows."""
    if session.relation is Relation.REFLECTOR:
        return 1 << max(8, (2 * len(cluster.workers)).bit_length())
    return max(len(session.accept), 1)
