# The watchdog of an armed change: it runs the undo if nobody confirms before the deadline. It
# belongs to no login session: systemd runs it as a unit; without systemd it has a session of its
# own. Its argument is the ID of the run.
#
# state: our directory in /run     nap: the longest sleep between two checks, in seconds

trap '' HUP INT PIPE
cd "$state" || exit
echo $$ >pending/pid || exit
echo watching
exec >/dev/null 2>&1
id=$1
tries=0

# mine PLACE: whether the change in a directory is the one that this watchdog watches.
mine() { read -r run <"$1/run" && [ "$run" = "$id" ]; } 2>/dev/null

# due: whether the deadline of the pending change has passed.
due() {
  mine pending && read -r up _ </proc/uptime || return
  read_deadline pending
  [ "${up%.*}" -ge "$deadline" ]
} 2>/dev/null

# stop_holder: end the script that armed the change. After the deadline nobody tells it to go on,
# and it may still hold the lock.
stop_holder() {
  line=
  read -r pid <pending/holder && read -r line <"/proc/$pid/cmdline"
  case $line in sh-s*) kill -9 "$pid" ;; esac
} 2>/dev/null

# An undo that fails is tried again. Where /run has become read-only, nothing can be renamed: then
# the undo runs in place.
while { mine pending || mine undoing; } && [ $tries -lt 10 ]; do
  left=1
  if due || mine undoing; then
    exec 9<lock
    until flock -w 5 9; do if due; then stop_holder; fi; sleep 1; done
    if due || mine undoing; then tries=$((tries + 1)); fi
    if due; then rm -rf undoing; mv pending undoing || sh pending/undo "not confirmed" 9>&-; fi
    if mine undoing; then sh undoing/undo "not confirmed" 9>&-; fi
    exec 9<&-
  elif mine pending; then
    left=$((deadline - ${up%.*}))
    [ $left -gt 0 ] || left=1
    [ $left -le "$nap" ] || left=$nap
  fi
  sleep "$left"
done
