"""Isolating faults: failing pairs are pinged again, one at a time, and both ends watch.

While many pairs ping at once, a counter does not tell whose packet it counted. So a machine takes
part in one trial at a time: both ends read their counters, the source pings, and both ends read
their counters again. One more ping is sent with a TTL that ends at the target's machine, as
traceroute(8) does. That machine's answer shows that packets come so far.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.common.script import Script
from tasks.common.values import Address
from tasks.connectivity.mesh import heard
from tasks.connectivity.ping import COUNT
from tasks.connectivity.probe import READY, Probe, probe_script, probes
from tasks.connectivity.verdict import Pair
from tasks.facts.model import Facts
from tasks.facts.survey import Survey
from tasks.inventory.model import Machine
from tasks.ssh.fleet import Fleet, Step

from .trials import SIZES, Trials, read_trials

AT, SENT = "== at ", "== sent "  # a trial is about to begin, its pings have ended
ROUNDS = 6  # at most; a round takes a second and a half


@dataclass(frozen=True)
class _Setting:
    """What the scripts for trials are made from."""

    machines: Mapping[str, Machine]
    facts: Mapping[str, Facts]
    probes: Mapping[str, tuple[Probe, ...]]
    tcp: int  # the port, or 0 for ICMP
    gateway: Address | None = None  # of the provider's network between the machines

    def ends(self, pair: Pair) -> str:
        """Source and target of a pair, as trials.sh takes them."""
        source = self._probe(pair.source, pair.family) if pair.from_pod else "machine"
        return f"{source} {self._probe(pair.target, pair.family)}"

    def _probe(self, name: str, family: int) -> str:
        found = (p.address for p in self.probes[name] if p.address.version == family)
        return str(next(found, "none"))


def schedule(pairs: Iterable[Pair], rounds: int = ROUNDS) -> list[list[Pair]]:
    """The pairs to try in each round.

    A machine takes part in one trial of a round. Machines with few trials so far come first.
    """
    left = list(pairs)
    uses: Counter[str] = Counter()
    plan: list[list[Pair]] = []
    while left and len(plan) < rounds:
        busy: set[str] = set()
        chosen = []
        for pair in sorted(left, key=lambda p: uses[p.source] + uses[p.target]):
            if not {pair.source, pair.target} & busy:
                busy |= {pair.source, pair.target}
                chosen.append(pair)
        uses.update(busy)
        left = [pair for pair in left if pair not in chosen]
        plan.append(chosen)
    return plan


def run_trials(
    fleet: Fleet,
    survey: Survey,
    silent: Sequence[Pair],
    large: Sequence[Pair],
    tcp: int = 0,
    gateway: Address | None = None,
) -> Trials:
    """Try silent pairs, as many as ROUNDS allow, and find the packet size that `large` pairs pass.

    `tcp`: the port to connect to instead of pinging; 0: ping. `gateway`: the router between the
    machines, if there is one.
    """
    rounds = schedule(silent)
    tried = [pair for chosen in rounds for pair in chosen]
    names = {name for pair in (*tried, *large) for name in (pair.source, pair.target)}
    if not names:
        return Trials()
    machines = {m.name: m for m in survey.cluster.machines if m.name in names}
    own = {name: probes(machine, survey.facts[name]) for name, machine in machines.items()}
    setting = _Setting(machines, survey.facts, own, tcp, gateway)
    scripts = {name: _script(name, tried, large, setting) for name in machines}
    steps: list[Step] = [(AT, machines)]
    for chosen in rounds:
        ends = {name for pair in chosen for name in (pair.source, pair.target)}
        steps += [(SENT, ends), (AT, ends)]
    answers = fleet.in_step(scripts, READY, steps, "pinging one by one")
    return read_trials(tried, large, heard(answers), survey.facts, tcp)


def _script(name: str, tried: Sequence[Pair], large: Sequence[Pair], setting: _Setting) -> Script:
    """The script of one machine."""
    return probe_script(
        setting.probes[name],
        setting.facts[name],
        "connectivity/connect.sh",
        "diagnosis/firewall.sh",
        "diagnosis/trials.sh",
        count=COUNT,
        tcp=setting.tcp or "",
        routers=1 if setting.gateway else 0,
        sizes=SIZES,
        large=[
            f"{number} {pair.family} {setting.ends(pair)}"
            for number, pair in enumerate(large)
            if pair.source == name
        ],
        trials=[
            f"{number} {pair.family} {_part(pair, name, setting)}"
            for number, pair in enumerate(tried)
            if name in (pair.source, pair.target)
        ],
    )


def _part(pair: Pair, name: str, setting: _Setting) -> str:
    """One machine's part in a trial, as trials.sh takes it."""
    part, other = ("source", pair.target) if name == pair.source else ("target", pair.source)
    neighbour = setting.gateway or setting.machines[other].internal_ip(pair.family)
    return f"{part} {setting.ends(pair)} {neighbour or 'none'}"
