"""Real pods: those that host-local's store lists, pinged, and pinging.

A probe shows what routes do; pods show the rest: whether their bridge is there, and with which
source address they arrive elsewhere. That is counted in the probes' own namespaces.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from .answer import sections
from .cluster import Address, Machine, within
from .diagnosis import Cause
from .fleet import Fleet
from .pinging import TIMEOUT, Gate, run_through
from .pings import SENT, counted_sources
from .probe import READY, Probe, probes, script
from .shell import Shell, Trouble
from .survey import Survey

MOST = 3  # pods of a worker that are asked
SET = "== set"  # what counts arrivals is there


@dataclass(frozen=True)
class RealPod:
    """One pod that a worker's store lists."""

    worker: str
    address: Address
    here: bool  # whether it answers its own machine: else it is gone, or closed to ICMP
    asked: tuple[str, ...]  # the workers whose probes pinged it
    answered: tuple[str, ...]  # those of them that it answered
    arrives: str = ""  # as what it arrives at other workers: itself, masqueraded; else unknown

    @property
    def ok(self) -> bool:
        """Whether all whom it could answer were answered."""
        return not self.here or self.asked == self.answered


def real_pods(survey: Survey) -> dict[str, list[Address]]:
    """Some pods of each worker, by the store of its host-local plugin."""
    return {
        worker.name: [
            address
            for address in sorted(survey.facts[worker.name].reserved, key=int)
            if within(ip_network(address), worker.pod_cidrs)
        ][:MOST]
        for worker in survey.cluster.workers
        if worker.name in survey.facts
    }


def ping_real_pods(
    fleet: Fleet, survey: Survey, asked: Collection[tuple[str, str]] | None
) -> list[RealPod]:
    """Have every probe ping the other workers' pods, and every worker's first pod the probes.

    `asked`: from, to: None for all. A machine that gives no report asks nobody.
    """
    pods = real_pods(survey)
    machines = {m.name: m for m in survey.cluster.workers if m.name in pods}
    own = {name: probes(machine, survey.facts[name]) for name, machine in machines.items()}
    gates = [Gate(marker, machines) for marker in (READY, SET, SENT)]
    ways = {
        name: [o for o in machines if o != name and (asked is None or (name, o) in asked)]
        for name in machines
    }

    def job(name: str) -> Callable[[Shell], str]:
        body = _body(machines, own, pods, name, ways[name])
        text = script(own[name], body, survey.facts[name])

        return lambda shell: run_through(shell, text, name, gates, TIMEOUT)

    answers = fleet.meet({name: job(name) for name in machines}, "pinging pods")
    said = {name: sections(a) for name, a in answers.items() if not isinstance(a, Trouble)}
    return read_real_pods(machines, pods, ways, said)


def _body(
    machines: Mapping[str, Machine],
    own: Mapping[str, Sequence[Probe]],
    pods: Mapping[str, Sequence[Address]],
    name: str,
    to: Sequence[str],
) -> str:
    """The shell function `pings` of one worker, for `probe.script`."""
    sources = {probe.address.version: probe.address for probe in own[name]}
    counts = [
        f"  arrivals {n.version} {n}"
        for other, machine in machines.items()
        if other != name
        for n in (*machine.pod_cidrs, *map(ip_network, machine.internal_ips))
    ]
    sent = [
        f"  reach {address} -I {sources[address.version]} {address} &"
        for other in to
        for address in pods[other]
        if address.version in sources
    ]
    sent += [f"  here {address} &" for address in pods[name]]
    first = {address.version: address for address in reversed(pods[name])}
    leaving = [
        f"{probe.address.version} {first[probe.address.version]} {probe.address}"
        for other in to
        for probe in own[other]
        if probe.address.version in first
    ]
    sent += [f"  leave {words} &" for words in leaving]
    lines = [*counts, f'  echo "{SET}"', "  await", *sent, "  wait", f'  echo "{SENT}"', "  await"]
    return "\n".join([_LIBRARY, "pings() {", *lines, "  arrived", "}"])


_LIBRARY = r"""answers() { ping -n -q -c 3 -i 0.2 -W 1 "$@" </dev/null >/dev/null 2>&1; }
reach() { pod=$1; shift; answers "$@" && echo "== reached $pod"; }
here() { host ping -n -q -c 3 -i 0.2 -W 1 "$1" </dev/null >/dev/null 2>&1 && echo "== here $1"; }
leave() { # FAMILY POD ADDRESS: from the network of the process that has the pod's address
  set +f
  seen=" "
  for place in /proc/[0-9]*/ns/net; do
    network=$(readlink "$place") || continue
    case $seen in *" $network "*) continue ;; esac
    seen="$seen$network "
    if nsenter --net="$place" ip -"$1" -oneline addr show 2>/dev/null | grep -qF " $2/"; then
      nsenter --net="$place" ping -n -q -c 3 -i 0.2 -W 1 "$3" </dev/null >/dev/null 2>&1
      return
    fi
  done
}
arrivals() { # FAMILY PREFIX
  [ -n "$outer" ] || return
  case $1 in
    4) iptables -w -A INPUT -s "$2" -p icmp --icmp-type echo-request ;;
    6) ip6tables -w -A INPUT -s "$2" -p icmpv6 --icmpv6-type echo-request ;;
  esac 2>/dev/null
}
arrived() {
  [ -n "$outer" ] || return
  echo "== arrived"
  iptables-save -c -t filter; ip6tables-save -c -t filter
} 2>/dev/null"""


def read_real_pods(
    machines: Mapping[str, Machine],
    pods: Mapping[str, Sequence[Address]],
    ways: Mapping[str, Sequence[str]],
    said: Mapping[str, Mapping[tuple[str, str], list[str]]],
) -> list[RealPod]:
    """Put together what the scripts printed, of the workers that did."""
    heard = {
        name: counted_sources(answer.get(("arrived", ""), [])) for name, answer in said.items()
    }
    found = []
    for worker, addresses in pods.items():
        for place, address in enumerate(addresses):
            asked = [n for n in said if worker in ways[n]]
            found.append(
                RealPod(
                    worker,
                    address,
                    here=("here", str(address)) in said.get(worker, {}),
                    asked=tuple(asked),
                    answered=tuple(n for n in asked if ("reached", str(address)) in said[n]),
                    arrives="" if place else _arrives(machines[worker], address, heard),
                )
            )
    return found


def _arrives(machine: Machine, pod: Address, heard: Mapping[str, frozenset[str]]) -> str:
    everything = {
        prefix for name, found in heard.items() if name != machine.name for prefix in found
    }
    inner = [ip_network(ip) for ip in machine.internal_ips if ip.version == pod.version]
    itself = [cidr for cidr in machine.pod_cidrs if cidr.version == pod.version]
    if {str(network) for network in itself} & everything:
        return "itself"
    return "masqueraded" if {str(network) for network in inner} & everything else ""


def pod_causes(survey: Survey, pods: Sequence[RealPod]) -> list[Cause]:
    """Why pods are cut off though the routes to them may be right."""
    causes = []
    for worker in dict.fromkeys(pod.worker for pod in pods):
        facts = survey.facts[worker]
        if facts.pod_bridge not in facts.bridges:
            words = f"{worker}: its pod bridge {facts.pod_bridge} is missing, its pods are cut off"
            remedy = f"restart the pods of {worker}: the first one makes it again"
            causes.append(Cause(worker, words, remedy, ()))
    return causes
