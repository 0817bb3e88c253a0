# The lock on a machine, and the change that is pending there. Every script around a change has
# these functions. They run in $state.
#
# state: our directory in /run     log: our directory on disk
# holder: who runs this script, and since when

trap '' HUP INT TERM PIPE
umask 077
nl='
'
tab='	'
locked=

# enter FLOCK_OPTION...: change to $state, take the lock, and restore the records of displaced
# routes after a reboot.
enter() {
  client=${SSH_CONNECTION%% *}
  [ "$client" != UNKNOWN ] || client='' # sshd has no socket of its own
  [ -d "$state" ] || mkdir -p "$state"
  { cd "$state" && true >>lock; } || { unwritable; return 1; }
  lock_it "$@" || return
  recall || { unwritable; return 1; }
  printf '%s\n' "$holder" 2>/dev/null >lock || :
}

# unwritable: print that nothing can be armed here.
unwritable() { printf '== unarmed\n%s cannot be written\n' "$state"; }

# lock_it FLOCK_OPTION...: take the lock, unless this script holds it. Where that fails, print who
# holds it.
lock_it() {
  [ ! "$locked" ] || return 0
  exec 9>>lock
  flock "$@" 9 || { echo "== locked"; cat lock; return 1; }
  locked=yes
}

# unlock: release the lock.
unlock() { exec 9>&-; locked=; }

# recall: after a reboot, copy the records of displaced routes from disk to $state.
recall() {
  [ ! -d displaced ] || return 0
  [ -d "$log/displaced" ] || { mkdir displaced; return; }
  rm -rf recalled && mkdir recalled || return
  cp -p "$log/displaced/"* recalled/ 2>/dev/null
  mv recalled displaced
}

# due_in SECONDS: print the uptime that the machine has in so many seconds, in whole seconds.
due_in() { read -r up _ </proc/uptime; echo $((${up%.*} + $1)); }

# is_of PLACE RUN: whether the change in a directory belongs to this run.
is_of() { read -r of <"$1/run" && [ "$of" = "$2" ]; } 2>/dev/null

# record PLACE ENDING: add a line to the history. A failed undo that is tried again gets one line.
record() {
  [ -d "$log" ] || mkdir -p "$log"
  read -r id <"$1/run" && read -r who <"$1/who" && read -r what <"$1/what" || return
  line=$id$tab$who$tab$what$tab$2
  case $2 in NOT*) [ "$(tail -n 1 "$log/history" | cut -f 2-)" != "$line" ] || return ;; esac
  printf '%s\t%s\n' "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" "$line" >>"$log/history"
} 2>/dev/null

# remember: record our routes on disk, so that a later run can tell which are missing.
remember() {
  dd if=last/owned of="$log/owned.new" conv=fsync && mv "$log/owned.new" "$log/owned" && return
  rm -f "$log/owned" "$log/owned.new"
  return 1
} 2>/dev/null

# watchdog FILE: whether the process whose ID is in a file is alive and still the watchdog: the
# kernel reuses process IDs. Sets $pid.
watchdog() {
  line=
  read -r pid <"$1" || return
  read -r line <"/proc/$pid/cmdline"
  case $line in *pending/watch*) ;; *) return 1 ;; esac
} 2>/dev/null

# end_watchdog: end the watchdog that `watchdog` found, and all its children.
end_watchdog() { kill -s TERM -- "-$pid" 2>/dev/null || :; }

# revert WHY: run the undo, then end the watchdog. Fails if the undo fails.
revert() {
  if [ -d pending ]; then rm -rf undoing; mv pending undoing || return; fi
  watchdog undoing/pid || pid=
  sh undoing/undo "$1" >/dev/null 2>&1 9>&- 3>&- || return
  [ ! "$pid" ] || end_watchdog
}

# recover: revert a change that is overdue, or that is half reverted.
recover() {
  if [ -d pending ]; then
    read_deadline pending
    [ "$(due_in 0)" -ge "$deadline" ] || return
  elif [ ! -d undoing ]; then
    return
  fi
  revert "overdue"
}

# no_longer_pending: print that the change is no longer pending, and the last line of the history.
no_longer_pending() { echo "== fired"; tail -n 1 "$log/history" 2>/dev/null; }
