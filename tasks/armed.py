"""Changes that take themselves back: the scripts a machine is given, and what they report.

A change is armed before it acts. In STATE/pending stand the undo, as a script of its own, and a
deadline in seconds of uptime; a watchdog that no login session owns carries the undo out when the
deadline passes. Whoever wants to keep the change or undo it has to rename that directory first,
and a rename happens once (rename(2)). The undo can be repeated: its lines are forced, those that
are already gone or there fail harmlessly, and what stands at the prefixes of the change says
whether it worked. What others do elsewhere meanwhile (a pod that starts) is theirs.
"""

import shlex
from collections.abc import Collection, Iterable, Sequence

from .armed_library import PATIENCE, library
from .batch import batch
from .cluster import Address
from .facts import LOG, RUNS, Displaced
from .persist_script import persist_script
from .readback import joined, look_function, touched_function
from .route import UNSAVED
from .run import Run
from .steps import Keep, Steps, restore, save
from .watchdog import START_WATCH, WATCH

READY = "== ready"
_FILES = ("text", "save")  # what is kept of routes that are taken away: as shown, and as bytes


def carry_out(
    steps: Steps,
    snapshot: str,
    run: Run,
    changes: Sequence[str] | None,
    what: str,
    lifelines: Collection[Address] = (),
    forgets: Sequence[Displaced] = (),
    earlier: Collection[str] = (),
    full: bool = False,
) -> str:
    """The script that arms the undo and carries out the steps, if the table is that of `snapshot`.

    When the undo is armed it says READY, and waits for a line; then READY again, until it ends.
    `go`: carry the steps out. Until then it has the lock, and if the connection ends nothing was
    done. `push`: set the deadline anew. `keep`: confirm, and end; then records of displaced routes
    that it `forgets` go. Anything else, and the end of the connection: end, and leave it armed.

    `changes` is what `rollback --last` will read: None where it is to mean the run before, whose
    routes this one puts back. `what` is a summary for the history. The ways to the `lifelines` have
    to be the same afterwards. The machine notes the run after those armed there before, and beside
    it `earlier` ones of other machines; `full` says that its note has to be cut first.
    """
    keeps = "\n".join(map(_kept, steps.keeps))
    restores = "\n".join(
        f"  same_links {shlex.quote(d.file)} && {restore(d)} || return" for d in steps.restores
    )
    with_look = joined(steps)
    alone = "" if with_look else f"{batch('', steps.do)}\n  [ $? = 0 ] || return"
    remembered = ":" if changes is None else f"{_quoted_lines(changes)} >changes"
    return f"""{library(run)}
planned_on={shlex.quote(snapshot)}
undo={shlex.quote(_undo_script(steps, run))}
persist={shlex.quote(persist_script(steps.files))}
watch={shlex.quote(WATCH)}
run={run.quoted} timeout={run.timeout} patience={PATIENCE} joined={len(with_look)} changed=
{look_function(steps, run.pod_networks, lifelines)}
{_push_function(run)}
{_keep_function(run, forgets)}
{START_WATCH}
{_CARRY_OUT}
arm() {{
  [ ! -d pending.new ] || rm -rf pending.new
  mkdir pending.new && cd pending.new || return
  echo $run >run && echo {shlex.quote(run.who)} "${{client:+from $client}}" >who &&
    echo {shlex.quote(what)} >what && echo {run.since} >since &&
    echo {shlex.quote(" ".join(run.machines))} >machines && printf %s "$touched" >before &&
    echo $self >holder && {remembered} &&
    printf '%s\\n' "$undo" >undo &&
    printf '%s\\n' "$persist" >persist &&
    printf '%s\\n' "$watch" >watch && due_in $timeout >deadline || return
  cd .. && mv pending.new pending && start_watch || return
{":" if changes is None else _run_noted(earlier, full)}
}}
note() {{
  {{ {_quoted_lines(_noted(steps)) if steps.noted else ":"}; printf %s "$owned"; }} >pending/owned
}}
go() {{
  cd displaced || return
{keeps}
{alone}
{restores}
}}
"""


def _run_noted(earlier: Iterable[str], full: bool) -> str:
    """Lines that note a run after those armed there before; a disk that is full stops no change."""
    trim = f'  tail -n {RUNS // 2} "$log/runs" >"$log/runs.new" && mv "$log/runs.new" "$log/runs"\n'
    return f"""  {{
  [ -d "$log" ] || mkdir -p "$log"
{trim if full else ""}  echo "== run $run" {" ".join(map(shlex.quote, earlier))} >>"$log/runs"
  }} 2>/dev/null || :"""


def _kept(keep: Keep) -> str:
    """A line that saves what is to be taken away, where it can be put back."""
    family, file = keep.prefix.version, shlex.quote(keep.file)
    lost = shlex.quote(f" ({'|'.join(UNSAVED[family])}) ")
    return (
        f"  at_prefix {family} {keep.prefix} >{file}.text &&"
        f" comes_back {shlex.quote(keep.protocol)} {lost} <{file}.text &&"
        f" {save(keep)} >{file}.save || return"
    )


def go_back(run: Run, why: str) -> str:
    """The script that leads back to before this run, however far it came on the machine."""
    return f"""{library(run)}
main() {{
  enter -w {PATIENCE} || return
  if [ "$(cat pending/run undoing/run 2>/dev/null)" = {run.quoted} ]; then
    take_back {shlex.quote(why)} || {{ echo "== broken"; return; }}
  elif cut -f 2,5 "$log/history" 2>/dev/null | grep -q '^{run.id}.kept'; then
    echo "== kept"
    return
  fi
  echo "== done"
}}
"""


def take_back(run: Run, why: str) -> str:
    """The script that drops the change of this run that waits for confirmation."""
    return f"""{library(run)}
main() {{
  enter -w {PATIENCE} || return
  [ "$(cat pending/run undoing/run 2>/dev/null)" = {run.quoted} ] || {{ fired; return; }}
  if take_back {shlex.quote(why)}; then echo "== done"; else echo "== broken"; fi
}}
"""


def push(run: Run) -> str:
    """The script that sets the deadline anew, and says whether the undo is still armed."""
    return f"""{library(run)}
{_push_function(run)}
main() {{ enter -w {PATIENCE} && push; }}
"""


def confirm(run: Run, forgets: Sequence[Displaced] = ()) -> str:
    """The script that keeps the change of this run; records of displaced routes may go with it."""
    return f"""{library(run)}
{_keep_function(run, forgets)}
main() {{ enter -w {PATIENCE} && keep; }}
"""


def _push_function(run: Run) -> str:
    return f"""push() {{
  if is_of pending {run.quoted} && watchdog pending/pid && due_in {run.timeout} >>pending/deadline
  then echo "== armed"; else fired; fi
}}"""


def _keep_function(run: Run, forgets: Sequence[Displaced]) -> str:
    files = " ".join(
        f"{place}displaced/{shlex.quote(d.file)}.{end}"
        for d in forgets
        for end in _FILES
        for place in ("", f"{LOG}/")
    )
    return f"""keep() {{
  is_of pending {run.quoted} || {{ fired; return; }}
  if [ -e pending/changes ]; then place=last; else place=kept; fi
  [ ! -d $place ] || rm -rf $place
  mv pending $place || {{ fired; return; }}
  watchdog $place/pid && end_watchdog
  ending=kept how=kept
  words=$(. ./$place/persist 2>&1 9>&-) || {{
    ending=unpersisted how="kept, but its files could not be changed"
  }}
  record $place "$how" && if [ $place = last ]; then remember; fi || {{
    ending=unpersisted words="${{words:+$words; }}no record of it can be written to $log"
  }}
  if [ $place = last ]; then
    {f"rm -f {files}" if files else ":"}
  else
    rm -rf kept
  fi
  echo "== $ending"
  echo "$words"
}}"""


def settle(run: Run) -> str:
    """A shell function for `question`: whoever touches a machine undoes what is overdue."""
    return f"""{library(run)}
settle() {{
  [ -d "$state/pending" ] || [ -d "$state/undoing" ] || return
  (enter -n && recover) >/dev/null
}}"""


_CARRY_OUT = r"""
at_prefix() { ip "-$1" -details -oneline route show table all exact "$2"; }
comes_back() {
  ! grep " table main " | grep " proto $1 " | grep -E "$2" || {
    echo "cannot be put back as it was"
    return 1
  }
}
same_links() {
  ip route showdump <"$1.save" | grep -o ' dev [^ ]*' | sort -u | while read -r _ dev; do
    grep -qF " dev $dev " "$1.text" || {
      echo "the links have other numbers than when $1 was taken away: put that route back by hand" \
        "from $1.text, and remove the files $1.* in $PWD and $log/displaced"
      exit 1
    }
  done
}
carry() {
  ways_before=$ways
  if { [ $joined != 0 ] || words=$(go 2>&1); } && as_wanted; then
    changed=yes
    note
    unlock  # who does not read the answer must not keep the watchdog waiting
    printf '%s' "== done$nl== route$nl$touched== get$nl$resolved"
    return
  fi
  if take_back "failed"; then echo "== undone"; else echo "== broken"; fi
  echo "$words"
  return 1
}
as_wanted() {
  if look after; then
    if refused; then return 1; fi
    words="the way back to you, or to the gateway, was another one afterwards"
    [ "$ways" = "$ways_before" ]
  else
    words=$(cat pending/said)
    words="ip does not show what came of it${words:+: $words}"
    return 1
  fi
}
refused() { # one of the lines that `look after` carries out; a later one may only ask in vain
  [ $joined != 0 ] && [ $failed != 0 ] || return
  words=$(cat pending/said)
  case $words in
    *"Command failed -:"[0-9]*) ;;
    *) words="ip has not carried all of it out${words:+: $words}"; return 0 ;;
  esac
  number=${words#*"Command failed -:"} number=${number%%[!0-9]*}
  words=${words%%"Command failed -:$number"*}"Command failed -:$number"
  [ "$number" -le $joined ]
}
main() {
  read -r self _ </proc/self/stat
  enter -n || return
  recover
  if [ -d pending ] || [ -d undoing ]; then
    echo "== pending"; cat pending/who undoing/who 2>/dev/null; return
  fi
  look before || { echo "== unarmed"; echo "ip does not show its routes"; return; }
  [ "$table" = "$planned_on" ] || { echo "== changed"; return; }
  words=$(arm 2>&1) || { rm -rf pending pending.new; echo "== unarmed"; echo "$words"; return; }
  while echo; echo "== ready"; read -r word <&3; do
    case $word in
      go) carry || return ;;
      push) lock_it -w $patience && push; [ ! "$changed" ] || unlock ;;
      keep) lock_it -w $patience && keep; return ;;
      *) break ;;
    esac
  done
  if [ ! "$changed" ] && mv pending pending.new; then
    watchdog pending.new/pid && end_watchdog
    rm -rf pending.new
  fi
}
"""


def _undo_script(steps: Steps, run: Run) -> str:
    """The undo as a script of its own: run in STATE by whoever has renamed it to `undoing`."""
    restores = "\n".join(
        f"  [ ! -s displaced/{shlex.quote(k.file)}.save ] ||"
        f" ip -{k.prefix.version} route restore <displaced/{shlex.quote(k.file)}.save"
        for k in steps.keeps
    )
    forgets = " ".join(
        f"displaced/{shlex.quote(k.file)}.{end}" for k in steps.keeps for end in _FILES
    )
    return f"""{library(run)}
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
cd "$state" || exit
place=${{0%/undo}}
{touched_function(steps, run.pod_networks)}
before=$(cat "$place/before")
[ "$(touched)" = "$before" ] || {{
{batch("-force", steps.undo)}
told=$({{
{restores or "  :"}
}} 2>&1)
}}
if [ "$(touched)" = "$before" ]; then
  record "$place" "undone: $1"
  rm -rf "$place" {forgets}
else
  set -f
  told=$(echo $told)
  record "$place" "NOT undone: $1${{told:+: $told}}"
  exit 1
fi"""


def _noted(steps: Steps) -> list[str]:
    """What goes on being noted as ours although it is lost, as `remember` writes it."""
    return [line for r in steps.noted for line in (f"== kept {r.prefix.version}", r.words)]


def _quoted_lines(lines: Iterable[str]) -> str:
    """A shell command that prints these lines."""
    words = " ".join(map(shlex.quote, lines))
    return f"printf '%s\\n' {words or shlex.quote('')}"
