# The watchdog of an armed change: it runs the undo if nobody confirms before the deadline. It
# belongs to no login session: systemd runs it as a unit; without systemd it has a session of its
# own. Its argument is the ID of the run. It writes its process ID to pending/pid once it has shown
# that it can do its work. If it cannot, it writes the reason to pending/unfit, and ends.
#
# state: our directory in /run     nap: the longest sleep between two checks, in seconds

trap '' HUP INT PIPE
cd "$state" || exit
id=$1
tries=0
early=

# outlives_login: whether this process can run programs after the login that it comes from. What
# sudo starts under log_subcmds or intercept asks sudo before it runs a program, and cannot once
# sudo has ended: see intercept_type in sudoers(5).
outlives_login() {
  while read -r key value; do
    [ "$key" != TracerPid: ] || tracer=$value
  done </proc/self/status
  [ "${SUDO_INTERCEPT_FD-}" ] || [ "${tracer:-0}" != 0 ] || return 0
  echo "sudo follows all that it starts (log_subcmds or intercept in sudoers), and nothing runs" \
    "when the login has ended: switch that off for this user, or log in as root"
  return 1
}

# finds PROGRAM...: whether all of them are in $PATH. Prints the first one that is not.
finds() {
  for program; do
    command -v "$program" >/dev/null || { printf '%s is not in %s\n' "$program" "$PATH"; return 1; }
  done
}

# is_fit: whether this process can do all that its work needs, in its own environment. Prints why
# not.
is_fit() {
  outlives_login && finds cat cut date flock mv rm sed sleep tail && echo proof >pending/proof &&
    mv pending/proof pending/proved && sh pending/undo
}

# mine PLACE: whether the change in a directory is the one that this watchdog watches.
mine() { read -r run <"$1/run" && [ "$run" = "$id" ]; } 2>/dev/null

# due: whether the deadline of the pending change has passed, or this process cannot wait for it.
due() {
  mine pending && read -r up _ </proc/uptime || return
  read_deadline pending
  [ "$early" ] || [ "${up%.*}" -ge "$deadline" ]
} 2>/dev/null

# pause SECONDS: sleep. A sleep that fails counts as a try, so that no loop spins. After three of
# them the change is due at once.
pause() { sleep "$1" || { tries=$((tries + 1)); [ $tries -lt 3 ] || early=yes; }; }

# stop_holder: end the script that armed the change. After the deadline nobody tells it to go on,
# and it may still hold the lock.
stop_holder() {
  line=
  read -r pid <pending/holder && read -r line <"/proc/$pid/cmdline"
  case $line in sh-s*) kill -9 "$pid" ;; esac
} 2>/dev/null

# take_lock: wait for the lock. If flock itself fails, go on without it: only one process can rename
# the pending change.
take_lock() {
  until flock -w 5 9; do
    [ $? = 1 ] && [ $tries -lt 10 ] || return 0
    if due; then stop_holder; fi
    pause 1
  done
}

why=$(is_fit 2>&1) || { printf '%s\n' "$why" >pending/unfit; exit; }
echo $$ >pending/pid || exit
exec >/dev/null 2>&1

# An undo that fails is tried again. Where /run has become read-only, nothing can be renamed: then
# the undo runs in place.
while { mine pending || mine undoing; } && [ $tries -lt 10 ]; do
  left=1
  if due || mine undoing; then
    exec 9<lock
    take_lock
    if due || mine undoing; then tries=$((tries + 1)); fi
    if due; then rm -rf undoing; mv pending undoing || sh pending/undo "not confirmed" 9>&-; fi
    if mine undoing; then sh undoing/undo "not confirmed" 9>&-; fi
    exec 9<&-
  elif mine pending; then
    left=$((deadline - ${up%.*}))
    [ $left -gt 0 ] || left=1
    [ $left -le "$nap" ] || left=$nap
  fi
  pause "$left"
done
