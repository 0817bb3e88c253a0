"""The watchdog of an armed change: who carries its undo out when nobody has confirmed it in time.

It belongs to no login session: where systemd runs it is a unit of its own, elsewhere a session of
its own (setsid(1)). These are scripts for the machine, run in STATE; tasks/armed.py has the rest.
"""

from .facts import STATE
from .script import script

READ_DEADLINE = script("deadline.sh")

# watchdog: whether the one whose number is in a file is alive, and no other process has it by now.
# end_watchdog: end the one that was found so, with what it has started.
WATCHDOG = r"""watchdog() {
  line=
  read -r pid <"$1" || return
  read -r line <"/proc/$pid/cmdline"
  case $line in *pending/watch*) ;; *) return 1 ;; esac
} 2>/dev/null
end_watchdog() { kill -s TERM -- "-$pid" 2>/dev/null || :; }"""

START_WATCH = r"""start_watch() {
  if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
    systemd-run --quiet --collect --unit="pod-routes-$run" sh "$PWD/pending/watch" "$run" \
      </dev/null 9>&- 3>&- || return
    tries=0
    until [ -s pending/pid ]; do
      tries=$((tries + 1))
      [ $tries -lt 200 ] || { echo "the watchdog does not start"; return 1; }
      sleep 0.02
    done
    return
  fi
  # A signal that is ignored here would be so there, and TERM is to end it.
  begun=$(trap - TERM; setsid sh "$PWD/pending/watch" "$run" </dev/null 2>/dev/null 9>&- 3>&- &)
  [ "$begun" = watching ] || { echo "the watchdog does not start"; return 1; }
}"""

NAP = 10  # seconds that it sleeps at most before it looks again

# Runs without a session, until it is ended because nobody needs it any more. Whoever waits past the
# deadline to be told to go on, with the lock, is told by nobody any more. An undo that fails is
# tried again; where nothing can be renamed (/run is read-only by now) it is carried out in place.
WATCH = rf"""trap '' HUP INT PIPE
cd {STATE} || exit
echo $$ >pending/pid || exit
echo watching
exec >/dev/null 2>&1
id=$1
tries=0
{READ_DEADLINE}
mine() {{ read -r run <"$1/run" && [ "$run" = "$id" ]; }} 2>/dev/null
due() {{
  mine pending && read -r up _ </proc/uptime || return
  read_deadline pending
  [ "${{up%.*}}" -ge "$deadline" ]
}} 2>/dev/null
stop_holder() {{
  line=
  read -r pid <pending/holder && read -r line <"/proc/$pid/cmdline"
  case $line in sh-s*) kill -9 "$pid" ;; esac
}} 2>/dev/null
while {{ mine pending || mine undoing; }} && [ $tries -lt 10 ]; do
  left=1
  if due || mine undoing; then
    exec 9<lock
    until flock -w 5 9; do if due; then stop_holder; fi; sleep 1; done
    if due || mine undoing; then tries=$((tries + 1)); fi
    if due; then rm -rf undoing; mv pending undoing || sh pending/undo "not confirmed" 9>&-; fi
    if mine undoing; then sh undoing/undo "not confirmed" 9>&-; fi
    exec 9<&-
  elif mine pending; then
    left=$((deadline - ${{up%.*}}))
    [ $left -gt 0 ] || left=1
    [ $left -le {NAP} ] || left={NAP}
  fi
  sleep $left
done"""
