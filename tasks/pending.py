"""Changes that wait for confirmation: kept or dropped, on every machine that has one."""

from collections.abc import Callable, Mapping

from . import armed
from .exits import Status, Stop
from .facts import Facts
from .fleet import Fleet
from .rollout import NO_STEPS
from .shell import Trouble
from .tables import counted


def keep(fleet: Fleet, facts: Mapping[str, Facts]) -> str:
    """Confirm what waits; what is to be printed. Raises Stop where any of it could not be kept."""
    return _each(fleet, facts, armed.confirm, "kept", "kept")


def drop(fleet: Fleet, facts: Mapping[str, Facts]) -> str:
    """Take back what waits; what is to be printed. Raises Stop where any of it is not gone."""

    def script(run: armed.Run) -> str:
        return armed.take_back(run, "dropped")

    return _each(fleet, facts, script, "done", "dropped: all as before")


def _each(
    fleet: Fleet,
    facts: Mapping[str, Facts],
    script: Callable[[armed.Run], str],
    wanted: str,
    done: str,
) -> str:
    waiting = {name: found.pending for name, found in facts.items() if found.pending}
    ours = armed.new_run(fleet.cluster.pod_networks, 0)
    scripts = {
        name: script(armed.Run(pending.run, ours.who, 0, ours.pod_networks))
        for name, pending in waiting.items()
    }
    failed = []
    for name, answer in fleet.ask(scripts).items():
        try:
            if isinstance(answer, Trouble):
                raise answer
            outcome = armed.read_outcome(answer, NO_STEPS)
            if outcome.state == "fired":
                failed.append(f"  {name}: too late, it has ended: {outcome.words}")
            elif outcome.state == "unpersisted":
                failed.append(
                    f"  {name}: kept, but its files could not be changed: {outcome.words}"
                )
            elif outcome.state != wanted:
                failed.append(f"  {name}: {outcome.state} {outcome.words}")
        except (Trouble, ValueError) as error:
            failed.append(f"  {name}: {error}")
    if failed:
        head = f"{done.partition(':')[0]} on {len(scripts) - len(failed)} machines, but not on"
        raise Stop("\n".join([head, *failed]), Status.NOT_WHOLE)
    return f"{done} on {counted(len(scripts), 'machine')}"
