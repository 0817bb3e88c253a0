"""Diagnosing pairs that failed: two more trips to the machines at their ends."""

from tasks.connectivity.verdict import Pair
from tasks.facts.survey import Survey
from tasks.ssh.errors import MachineError
from tasks.ssh.fleet import Fleet

from .bgp_sessions import sessions_down
from .evidence import SCRIPT, Evidence, read_evidence
from .isolate import run_trials
from .links import settings_causes
from .model import Cause, Scene
from .mtu import mtu_causes
from .path import trial_causes
from .provider_table import read_routed, table_causes
from .routing import part_causes


def diagnose(fleet: Fleet, survey: Survey, pairs: list[Pair], tcp: int = 0) -> list[Cause]:
    """The causes of failed pairs, and routes that would cut off pods that no pair shows.

    The first trip reads the machines' settings. Pairs that these do not explain are pinged one by
    one on the second trip. `tcp`: the port to connect to instead of pinging; 0: ping. Where no
    pair failed and no session of BGP is down, neither a machine nor the provider is asked.
    """
    failed = [pair for pair in pairs if pair.verdict not in ("ok", "no probe")]
    down = (name for name, _ in sessions_down(survey.cluster, survey.facts))
    names = dict.fromkeys([*(end for p in failed for end in (p.source, p.target)), *down])
    if not names:
        return part_causes(Scene(survey.cluster, survey.facts, {}, pairs))
    answers = fleet.ask(dict.fromkeys(names, SCRIPT), "asking why")
    routed = read_routed(survey.cluster.network, fleet.patience)
    scene = Scene(survey.cluster, survey.facts, _evidence(answers), pairs, routed)
    causes = [*settings_causes(scene), *table_causes(scene)]
    explained = {pair for cause in causes for pair in cause.pairs}
    unexplained = [pair for pair in scene.silent if pair not in explained]
    tried = run_trials(fleet, survey, _to_try(unexplained), scene.large, tcp, scene.gateway)
    found = trial_causes(scene, tried, unexplained) + mtu_causes(scene, tried)
    return causes + found + part_causes(scene)


def _to_try(pairs: list[Pair]) -> list[Pair]:
    """The pairs to try: machine to pod only where the same pod to pod pair did not fail."""
    tried = {(p.source, p.target, p.family) for p in pairs if p.from_pod}
    return [p for p in pairs if p.from_pod or (p.source, p.target, p.family) not in tried]


def _evidence(answers: dict[str, str | MachineError]) -> dict[str, Evidence]:
    """The evidence of the machines that answered, where the answer can be read."""
    found = {}
    for name, answer in answers.items():
        try:
            if isinstance(answer, str):
                found[name] = read_evidence(answer)
        except ValueError:
            continue
    return found
