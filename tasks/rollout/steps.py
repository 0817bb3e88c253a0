"""The commands that carry out a machine's plan, and those that revert it.

They are lines for `ip -batch`. carry_out.sh runs them, checks the result and reverts on a failure.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.bgp.bird_conf import RUN, UNIT
from tasks.common.values import Address, Network
from tasks.iproute.names import MAIN, protocol_number
from tasks.iproute.route import Route
from tasks.persistence.backends import NO_FILES, Files
from tasks.planning.model import BirdChange, Change, MachinePlan
from tasks.undo.records import Displaced


@dataclass(frozen=True)
class Keep:
    """Foreign routes to record, as bytes of the kernel, before they are displaced."""

    file: str
    prefix: Network
    protocol: str  # its number


@dataclass(frozen=True)
class Steps:
    """The commands for one machine, and what the scripts need to know of the change."""

    do: tuple[str, ...]  # lines for `ip -batch`
    undo: tuple[str, ...]  # lines for `ip -batch`
    keeps: tuple[Keep, ...] = ()
    restores: tuple[Displaced, ...] = ()
    files: Files = NO_FILES
    still_missing: tuple[Route, ...] = ()  # ours and missing, out of scope: they stay recorded
    prefixes: tuple[Network, ...] = ()  # all prefixes of the change
    puts: tuple[Network, ...] = ()  # the prefixes that get a route
    last: tuple[str, ...] = ()  # lines for `ip -batch` once the expected routes stand everywhere
    expected: tuple[tuple[Network, Address], ...] = ()  # prefixes and next hops that come by BGP
    bird: BirdChange | None = None
    by_bgp: tuple[tuple[Network, Address], ...] = ()  # those of `expected` that stand already
    undo_adds: tuple[str, ...] = ()  # those of `undo` that add, if BIRD changes

    @property
    def lines(self) -> list[str]:
        """The commands that a person would type for the same effect, for --dry-run."""
        kept = [f"{save(k)} >{k.file}.save" for k in self.keeps]
        routes = [f"ip {line}" for line in self.do]
        bird = _bird_lines(self.bird) if self.bird else []
        last = [f"ip {line}" for line in self.last]
        restores = map(restore, self.restores)
        return [*kept, *routes, *restores, *bird, *last, *_file_lines(self.files)]


def steps(plan: MachinePlan, run: str) -> Steps:
    """The commands that carry out a machine's plan; `run` is the ID of the run."""
    do = [line for change in plan.changes for line in _do(change)]
    undo = [f"route del {route.selector}" for d in plan.restores for route in d.routes]
    undo += [line for change in reversed(plan.later) for line in _undo(change)]
    undo += [line for change in reversed(plan.changes) for line in _undo(change)]
    keeps: dict[str, Keep] = {}
    changes = (*plan.changes, *plan.later)
    for route in (r for change in changes for r in change.take if not r.owned):
        place = str(route.prefix).replace("/", "-")
        protocol = protocol_number(route.protocol)
        file = f"{run}_{route.prefix.version}_{place}_{protocol}"
        keeps[file] = Keep(file, route.prefix, protocol)
    routes = [r for c in changes for r in (*([c.put] if c.put else []), *c.take)]
    routes += [r for d in plan.restores for r in d.routes]
    return Steps(
        tuple(do),
        tuple(undo),
        tuple(keeps.values()),
        plan.restores,
        plan.files,
        plan.still_missing,
        prefixes=tuple(dict.fromkeys(r.prefix for r in routes)),
        puts=tuple(c.prefix for c in plan.changes if c.put is not None),
        last=tuple(line for change in plan.later for line in _do(change)),
        expected=_ways(plan.expected),
        bird=plan.bird,
        by_bgp=_ways(plan.by_bgp),
        undo_adds=tuple(line for line in undo if not line.startswith("route del ")),
    )


def _ways(routes: Iterable[Route]) -> tuple[tuple[Network, Address], ...]:
    return tuple((r.prefix, r.next_hop) for r in routes if r.next_hop)


def _bird_lines(bird: BirdChange) -> list[str]:
    """The commands that a person would type for the change of BIRD, without the password."""
    if not bird.conf:
        return [f"systemctl stop {UNIT}", f"rm -r {RUN}"]
    conf = f"cat >{RUN}/bird.conf <<'END_OF_FILE'\n{bird.conf}END_OF_FILE"
    return [conf, f"systemctl start {UNIT}"]


def _file_lines(files: Files) -> list[str]:
    """The commands that a person would type to write and remove these files."""
    lines = []
    for file in files.write:
        path = shlex.quote(file.path)
        lines.append(f"mkdir -p {shlex.quote(file.path.rpartition('/')[0])}")
        if file.target:
            lines.append(f"ln -sf {shlex.quote(file.target)} {path}")
        else:
            lines.append(f"cat >{path} <<'END_OF_FILE'\n{file.text}END_OF_FILE")
            lines.append(f"chmod {file.mode} {path}")
    return lines + [f"rm {shlex.quote(path)}" for path in files.remove]


def _do(change: Change) -> list[str]:
    """The lines that add the route first, then delete others: the prefix always has a route."""
    lines = []
    replaced: Route | None = None
    if change.put is not None:
        replaced = _replaced(change)
        lines.append(f"route {'replace' if replaced else 'add'} {change.put.words}")
    return lines + [f"route del {r.selector}" for r in change.take if r is not replaced]


def _undo(change: Change) -> list[str]:
    """The lines that revert a change of our routes; undo.sh restores displaced routes."""
    lines = []
    replaced: Route | None = None
    if change.put is not None:
        replaced = _replaced(change)
        if replaced is not None and replaced.owned:
            lines.append(f"route replace {replaced.words}")
        else:
            lines.append(f"route del {change.put.selector}")
    return lines + [f"route add {r.words}" for r in change.take if r.owned and r is not replaced]


def _replaced(change: Change) -> Route | None:
    """The route that `ip route replace` would replace: the first with the key of the new one."""
    return next((r for r in change.take if change.put and r.key == change.put.key), None)


def family_of(displaced: Displaced) -> int:
    """The IP version of displaced routes, from the name of their file."""
    return 6 if displaced.file.split("_")[1] == "6" else 4


def restore(displaced: Displaced) -> str:
    """The command that puts displaced routes back, to be run in the directory of their files."""
    return f"ip -{family_of(displaced)} route restore <{shlex.quote(displaced.file)}.save"


def save(keep: Keep) -> str:
    """The command that prints foreign routes as bytes of the kernel."""
    selector = f"table {MAIN} exact {keep.prefix} proto {shlex.quote(keep.protocol)}"
    return f"ip -{keep.prefix.version} route save {selector}"
