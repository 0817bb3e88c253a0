"""What is printed of BGP: in a plan, in the line of a run, and in `fab status`."""

from collections.abc import Iterator, Mapping
from difflib import unified_diff

from tasks.bgp.bird import SessionState
from tasks.bgp.bird_conf import RUN
from tasks.common.text import MAX_LINES, MAX_ROWS, counted, first, listed, table, wrapped
from tasks.facts.model import Facts
from tasks.inventory.model import Cluster
from tasks.planning.model import BirdChange, MachinePlan, Plan

MAX_DIFF = 4000  # lines that are compared: the time grows with their square


def bgp_changes(plan: Plan) -> str:
    """What becomes of BIRD on the machines of a plan, and how its configuration changes."""
    changed = [(m, m.bird) for m in plan.machines if m.bird]
    if not changed:
        return "\n".join(wrapped(staying(plan)))
    rows = [_row(machine, bird) for machine, bird in changed[:MAX_ROWS]]
    rest = len(changed) - len(rows)
    more = f"\n(and {counted(rest, 'machine')} more)" if rest else ""
    headers = ["machine", "BIRD", "BGP", "to BGP", "sessions with"]
    diffs = [diff for machine, bird in changed if (diff := _diff(machine.name, bird))]
    return "\n\n".join(
        [
            table(headers, rows) + more,
            *diffs[:MAX_LINES],
            *_not_shown(changed, diffs),
            *wrapped([*_notes(changed), *staying(plan)]),
        ]
    )


def _row(machine: MachinePlan, bird: BirdChange) -> list[object]:
    missing = "to be installed" if machine.install else "missing"
    version = bird.version or (missing if bird.conf else "-")
    neighbors = listed(bird.sessions, most=3) or "-"
    return [machine.name, version, bird.verb, len(machine.later), neighbors]


def _diff(name: str, bird: BirdChange) -> str:
    """How the configuration changes; empty if there was none before, or is none afterwards."""
    if not (bird.conf and bird.before):
        return ""
    before, after = bird.before.splitlines(), bird.conf.splitlines()
    if len(before) + len(after) > MAX_DIFF:
        return f"{name}: {RUN}/bird.conf: {len(before)} lines before, {len(after)} afterwards"
    lines = unified_diff(before, after, n=0, lineterm="")
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join([f"{name}: {RUN}/bird.conf", *first(changed, MAX_ROWS)]) if changed else ""


def _not_shown(changed: list[tuple[MachinePlan, BirdChange]], diffs: list[str]) -> Iterator[str]:
    new = sum(bool(bird.conf and not bird.before) for _, bird in changed)
    if new:
        yield f"({counted(new, 'new configuration')}; see --dry-run)"
    if len(diffs) > MAX_LINES:
        rest = counted(len(diffs) - MAX_LINES, "more configuration")
        yield f"({rest} changed likewise; see --dry-run)"


def staying(plan: Plan) -> Iterator[str]:
    """A line that says where BIRD stays although routes are static."""
    names = [machine.name for machine in plan.machines if machine.bird_stays]
    if names:
        yield (
            f"BIRD stays on {listed(names)}: machines that this run leaves out may need what it"
            " announces. A run on all machines ends it"
        )


def _notes(changed: list[tuple[MachinePlan, BirdChange]]) -> Iterator[str]:
    if any(m.later and m.by_bgp and any(c.put for c in m.changes) for m, _ in changed):
        yield "sessions begin anew: static routes stand in for those of BGP meanwhile"
    names = [machine.name for machine, bird in changed if bird.lost_at_boot]
    if names:
        yield f"{listed(names)}: no systemd there: BIRD would not come back after a reboot"


def bird_words(plan: Plan) -> list[str]:
    """What a run made of BIRD, such as "BGP begun"."""
    return [f"BGP {verb}" for verb in dict.fromkeys(m.bird.verb for m in plan.machines if m.bird)]


def bgp_json(machine: MachinePlan) -> dict[str, object] | None:
    """The change of BIRD for programs; None if there is none."""
    bird = machine.bird
    if bird is None:
        return None
    return {
        "change": bird.verb,
        "version": bird.version or None,
        "install": machine.install,
        "sessions": list(bird.sessions),
        "handed_over": [str(c.prefix) for c in machine.later],
    }


def bgp_status(facts: Mapping[str, Facts], cluster: Cluster) -> str:
    """A table of the sessions of each machine; empty if BIRD is on none."""
    having = {name: found.bird for name, found in facts.items() if found.bird.there}
    if not having:
        return ""
    rows = []
    for name, bird in having.items():
        up = [s for s in bird.sessions if s.established]
        since = max((s.since for s in up), default="-")
        state = f"{len(up)} of {len(bird.sessions)}" if bird.running else "BIRD does not run"
        out = max((s.exported for s in up), default=0)
        rows.append([name, state, sum(s.imported for s in up), out, since])
    down = [
        f"{name}: {session_down(s, cluster)}"
        for name, bird in having.items()
        for s in bird.sessions
        if not s.established
    ]
    headers = ["machine", "sessions up", "prefixes in", "out", "newest since"]
    return "\n\n".join([table(headers, rows), *(["\n".join(first(down, MAX_ROWS))] * bool(down))])


def session_down(session: SessionState, cluster: Cluster) -> str:
    """One line about a session that is not up."""
    names = {ip: m.name for m in cluster.machines for ip in m.internal_ips}
    who = names.get(session.remote, "router")
    why = f": {session.why}" if session.why else ""
    state, since = session.state, session.since
    return f"session with {who} ({session.remote}) is down ({state} since {since}){why}"
