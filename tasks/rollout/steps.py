"""What one machine is given to carry out its plan, all of it or nothing, and how to go back.

The lines are those of `ip -batch`; carry_out.sh guards what they do.
"""

import shlex
from dataclasses import dataclass

from tasks.common.values import Network
from tasks.iproute.route import Route
from tasks.persistence.backends import NO_FILES, Files
from tasks.planning.model import Change, MachinePlan
from tasks.undo.records import Displaced


@dataclass(frozen=True)
class Keep:
    """Foreign routes to keep as the kernel's own bytes before they are taken away."""

    file: str
    prefix: Network
    protocol: str


@dataclass(frozen=True)
class Steps:
    """The lines for one machine."""

    do: tuple[str, ...]
    undo: tuple[str, ...]
    keeps: tuple[Keep, ...] = ()
    restores: tuple[Displaced, ...] = ()
    files: Files = NO_FILES
    noted: tuple[Route, ...] = ()  # ours, lost before: noted on as lost
    prefixes: tuple[Network, ...] = ()  # all that the lines are about
    puts: tuple[Network, ...] = ()  # those that get a route

    @property
    def lines(self) -> list[str]:
        """What a person would type for the same effect, for --dry-run."""
        kept = [f"{save(k)} >{k.file}.save" for k in self.keeps]
        routes = [f"ip {line}" for line in self.do]
        return [*kept, *routes, *map(restore, self.restores), *_file_lines(self.files)]


def steps(plan: MachinePlan, run: str) -> Steps:
    """The lines that carry out a machine's plan; `run` names the run."""
    do = [line for change in plan.changes for line in _do(change)]
    undo = [f"route del {route.selector}" for d in plan.restores for route in d.routes]
    undo += [line for change in reversed(plan.changes) for line in _undo(change)]
    keeps: dict[str, Keep] = {}
    for route in (r for change in plan.changes for r in change.take if not r.owned):
        place = str(route.prefix).replace("/", "-")
        file = f"{run}_{route.prefix.version}_{place}_{route.protocol}"
        keeps[file] = Keep(file, route.prefix, route.protocol)
    routes = [r for c in plan.changes for r in (*([c.put] if c.put else []), *c.take)]
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
    )


def _file_lines(files: Files) -> list[str]:
    """What a person would type to write and remove these files."""
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
    """Put first, then take away the rest, so that the prefix is never without a route."""
    lines = []
    replaced: Route | None = None
    if change.put is not None:
        replaced = _replaced(change)
        lines.append(f"route {'replace' if replaced else 'add'} {change.put.words}")
    return lines + [f"route del {r.selector}" for r in change.take if r is not replaced]


def _undo(change: Change) -> list[str]:
    """The way back for what is ours; foreign routes come back from the bytes that were kept."""
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
    """The route that the kernel would exchange for the one put: the first of the same key."""
    return next((r for r in change.take if change.put and r.key == change.put.key), None)


def family_of(displaced: Displaced) -> int:
    """The IP version of displaced routes, by the name of their file."""
    return 6 if displaced.file.split("_")[1] == "6" else 4


def restore(displaced: Displaced) -> str:
    """The command that puts displaced routes back, run where their files are."""
    return f"ip -{family_of(displaced)} route restore <{shlex.quote(displaced.file)}.save"


def save(keep: Keep) -> str:
    """The command that keeps foreign routes as bytes, for stdout."""
    selector = f"table main exact {keep.prefix} proto {shlex.quote(keep.protocol)}"
    return f"ip -{keep.prefix.version} route save {selector}"
