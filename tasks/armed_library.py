"""The shell functions that are in every script around a change."""

import shlex

from .facts import LOG, STATE
from .run import Run
from .watchdog import READ_DEADLINE, WATCHDOG

PATIENCE = 30  # seconds to wait for another command that is at work on the machine


def library(run: Run) -> str:
    """The functions, for a script of this run."""
    return f"""trap '' HUP INT TERM PIPE
umask 077
state={STATE} log={LOG}
holder={shlex.quote(f"{run.who} since {run.since}")}
{_LIBRARY}"""


_TAB = "\t"  # between the columns of the history

# enter: be the only one at work here; what is displaced comes back from disk after a reboot.
# lock_it: take the lock, or say who has it; nothing where it is held already. record: a line for
# the history, said once. remember: which routes are ours, to tell later what was lost. recover:
# undo what is overdue, or was left half undone. fired: say how the change that was asked for has
# ended.
_LIBRARY = rf"""{READ_DEADLINE}
{WATCHDOG}
enter() {{
  client=${{SSH_CONNECTION%% *}}
  [ -d "$state" ] || mkdir -p "$state"
  cd "$state" && true >>lock || {{ unwritable; return 1; }}
  lock_it "$@" || return
  recall || {{ unwritable; return 1; }}
  echo "$holder" 2>/dev/null >lock || :
}}
locked=
unlock() {{ exec 9>&-; locked=; }}
lock_it() {{
  [ ! "$locked" ] || return 0
  exec 9>>lock
  flock "$@" 9 || {{ echo "== locked"; cat lock; return 1; }}
  locked=yes
}}
unwritable() {{ echo "== unarmed"; echo "$state cannot be written"; }}
recall() {{
  [ ! -d displaced ] || return 0
  [ -d "$log/displaced" ] || {{ mkdir displaced; return; }}
  rm -rf recalled && mkdir recalled || return
  cp -p "$log/displaced/"* recalled/ 2>/dev/null
  mv recalled displaced
}}
due_in() {{ read -r up _ </proc/uptime; echo $((${{up%.*}} + $1)); }}
is_of() {{ read -r of <"$1/run" && [ "$of" = "$2" ]; }} 2>/dev/null
record() {{
  [ -d "$log" ] || mkdir -p "$log"
  read -r run <"$1/run" && read -r who <"$1/who" && read -r what <"$1/what" || return
  line="$run{_TAB}$who{_TAB}$what{_TAB}$2"
  case $2 in NOT*) [ "$(tail -n 1 "$log/history" | cut -f 2-)" != "$line" ] || return ;; esac
  printf '%s\t%s\n' "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" "$line" >>"$log/history"
}} 2>/dev/null
remember() {{
  dd if=last/owned of="$log/owned.new" conv=fsync && mv "$log/owned.new" "$log/owned" || {{
    rm -f "$log/owned" "$log/owned.new"
    return 1
  }}
}} 2>/dev/null
take_back() {{
  if [ -d pending ]; then rm -rf undoing; mv pending undoing || return; fi
  watchdog undoing/pid || pid=
  sh undoing/undo "$1" >/dev/null 2>&1 9>&- 3>&- || return
  [ ! "$pid" ] || end_watchdog
}}
recover() {{
  if [ -d pending ]; then
    read_deadline pending
    [ "$(due_in 0)" -ge "$deadline" ] || return
  elif [ ! -d undoing ]; then
    return
  fi
  take_back "overdue"
}}
fired() {{ echo "== fired"; tail -n 1 "$log/history" 2>/dev/null; }}
"""
