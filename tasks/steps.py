"""What one machine is given to carry out its plan, all of it or nothing, and how to go back.

The lines are those of `ip -batch`. Going back is repeatable: every line is forced, those that
are already gone or there fail harmlessly, and the table's checksum says whether it worked.
"""

import re
import shlex
from dataclasses import dataclass
from typing import Literal, get_args

from .answer import sections
from .changes import Change, MachinePlan
from .cluster import Network
from .facts import STATE, Displaced, snapshot_function
from .route import Route, parse


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

    @property
    def lines(self) -> list[str]:
        """What a person would type for the same effect, for --dry-run."""
        kept = [
            f"ip -{k.prefix.version} route save table main exact {k.prefix} proto {k.protocol}"
            f" >{k.file}.save"
            for k in self.keeps
        ]
        back = [f"ip -{_family(d)} route restore <{d.file}.save" for d in self.restores]
        return [*kept, *(f"ip {line}" for line in self.do), *back]


def steps(plan: MachinePlan, run: str) -> Steps:
    """The lines that carry out a machine's plan; `run` names the run, and sorts by time."""
    do = [line for change in plan.changes for line in _do(change)]
    undo = [f"route del {route.selector}" for d in plan.restores for route in d.routes]
    undo += [line for change in reversed(plan.changes) for line in _undo(change)]
    keeps: dict[str, Keep] = {}
    for route in (r for change in plan.changes for r in change.take if not r.owned):
        place = str(route.prefix).replace("/", "-")
        file = f"{run}_{route.prefix.version}_{place}_{route.protocol}"
        keeps[file] = Keep(file, route.prefix, route.protocol)
    return Steps(tuple(do), tuple(undo), tuple(keeps.values()), plan.restores)


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


End = Literal["done", "undone", "broken", "locked", "changed"]
ENDS: tuple[End, ...] = get_args(End)


@dataclass(frozen=True)
class Outcome:
    """How a machine ended, as it reports itself.

    done: carried out. undone: a line failed, and all is as before. broken: a line failed, and
    the table is not as before. locked: another run is at work. changed: the table is no longer
    the one planned on; nothing was done.
    """

    state: End
    line: str = ""  # the line that failed
    words: str = ""  # the kernel's own words, or who holds the lock
    routes: tuple[Route, ...] = ()  # all tables afterwards


def carry_out(steps: Steps, snapshot: str, pod_networks: tuple[Network, ...], who: str) -> str:
    """The script that carries out the steps if the table is still that of `snapshot`."""
    keeps = "\n".join(
        f"  keep {k.prefix.version} {shlex.quote(k.file)} {k.prefix} {shlex.quote(k.protocol)}"
        " || return"
        for k in steps.keeps
    )
    restores = "\n".join(
        f"  ip -{_family(d)} route restore <{shlex.quote(d.file)}.save || return"
        for d in steps.restores
    )
    return f"""{_common(steps, snapshot, pod_networks, who)}
keep() {{
  ip -"$1" -details -oneline route show table all exact "$3" >"$2.text" &&
    ip -"$1" route save table main exact "$3" proto "$4" >"$2.save"
}}
go() {{
{keeps}
  printf '%s\\n' {_batch(steps.do)} | ip -batch - || return
{restores}
}}
main() {{
  enter -n || return
  [ "$(snapshot)" = "$before" ] || {{ echo "== changed"; return; }}
  if words=$(go 2>&1); then echo "== done"; tables; return; fi
  if back; then echo "== undone"; else echo "== broken"; fi
  echo "$words"
}}
"""


def go_back(steps: Steps, snapshot: str, pod_networks: tuple[Network, ...], who: str) -> str:
    """The script that leads back to the table of `snapshot`, wherever the steps were left.

    It waits for a run that is still at work there.
    """
    return f"""{_common(steps, snapshot, pod_networks, who)}
main() {{
  enter "-w 30" || return
  if back; then echo "== done"; else echo "== broken"; fi
  tables
}}
"""


def forget(displaced: tuple[Displaced, ...]) -> str:
    """The script that removes the records of displaced routes that are back in place."""
    files = " ".join(shlex.quote(f"{d.file}.{end}") for d in displaced for end in ("text", "save"))
    return f"main() {{ cd {STATE}/displaced && rm -f {files} && echo forgotten; }}"


def _common(steps: Steps, snapshot: str, pod_networks: tuple[Network, ...], who: str) -> str:
    restores = "\n".join(
        f"  [ -s {shlex.quote(k.file)}.save ] &&"
        f" ip -{k.prefix.version} route restore <{shlex.quote(k.file)}.save"
        for k in steps.keeps
    )
    forgets = " ".join(f"{shlex.quote(k.file)}.*" for k in steps.keeps)
    return f"""
trap '' HUP INT TERM PIPE
before={shlex.quote(snapshot)}
{snapshot_function(pod_networks)}
enter() {{
  umask 077
  mkdir -p {STATE}/displaced && cd {STATE}/displaced && exec 9>>../lock || {{
    echo "== locked"; echo "cannot write {STATE}"; return 1
  }}
  flock $1 9 || {{ echo "== locked"; cat ../lock; return 1; }}
  echo {shlex.quote(who)} "since $(date '+%H:%M:%S')" >../lock
}}
back() {{
  [ "$(snapshot)" = "$before" ] || {{
    printf '%s\\n' {_batch(steps.undo)} | ip -force -batch -
{restores}
  }} >/dev/null 2>&1
  [ "$(snapshot)" = "$before" ] && rm -f {forgets}
}}
tables() {{
  for family in 4 6; do
    echo "== route $family"
    ip -$family -details -oneline route show table all
  done
}}
"""


def _batch(lines: tuple[str, ...]) -> str:
    return " ".join(shlex.quote(line) for line in lines) or "''"


def _family(displaced: Displaced) -> int:
    return displaced.routes[0].prefix.version if displaced.routes else 4


def read_outcome(answer: str, steps: Steps) -> Outcome:
    """Read what `carry_out` or `go_back` printed; raises ValueError where it is neither."""
    found = sections(answer)
    for state in ENDS:
        if (state, "") in found:
            said = " ".join(found[state, ""])
            break
    else:
        raise ValueError("the answer breaks off")
    failed = re.search(r"\s*Command failed -:(\d+)", said)
    number = int(failed[1]) if failed else 0
    line = f"ip {steps.do[number - 1]}" if 0 < number <= len(steps.do) else ""
    routes = [parse(text, f) for f in (4, 6) for text in found.get(("route", str(f)), [])]
    return Outcome(state, line, said.replace(failed[0], "") if failed else said, tuple(routes))
