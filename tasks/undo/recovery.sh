# The lock on a machine, and the change that waits there: recorded, and taken back where it is
# overdue. Every script around a change has these functions; they run in $state.
#
# state, log: our directories     holder: who runs this, since when

trap '' HUP INT TERM PIPE
umask 077
nl='
'
tab='	'
locked=

# enter FLOCK_OPTION...: be the only one at work here; displaced routes are there again after a
# reboot.
enter() {
  client=${SSH_CONNECTION%% *}
  [ -d "$state" ] || mkdir -p "$state"
  { cd "$state" && true >>lock; } || { unwritable; return 1; }
  lock_it "$@" || return
  recall || { unwritable; return 1; }
  printf '%s\n' "$holder" 2>/dev/null >lock || :
}

# unwritable: say that nothing can be armed here.
unwritable() { printf '== unarmed\n%s cannot be written\n' "$state"; }

# lock_it FLOCK_OPTION...: take the lock, unless this script has it; or say who has it.
lock_it() {
  [ ! "$locked" ] || return 0
  exec 9>>lock
  flock "$@" 9 || { echo "== locked"; cat lock; return 1; }
  locked=yes
}

# unlock: let others work here.
unlock() { exec 9>&-; locked=; }

# recall: after a reboot, have the displaced routes that are kept on disk.
recall() {
  [ ! -d displaced ] || return 0
  [ -d "$log/displaced" ] || { mkdir displaced; return; }
  rm -rf recalled && mkdir recalled || return
  cp -p "$log/displaced/"* recalled/ 2>/dev/null
  mv recalled displaced
}

# due_in SECONDS: the uptime by then, in seconds.
due_in() { read -r up _ </proc/uptime; echo $((${up%.*} + $1)); }

# is_of PLACE RUN: whether the change in a directory is of this run.
is_of() { read -r of <"$1/run" && [ "$of" = "$2" ]; } 2>/dev/null

# record PLACE ENDING: a line for the history, once.
record() {
  [ -d "$log" ] || mkdir -p "$log"
  read -r id <"$1/run" && read -r who <"$1/who" && read -r what <"$1/what" || return
  line=$id$tab$who$tab$what$tab$2
  case $2 in NOT*) [ "$(tail -n 1 "$log/history" | cut -f 2-)" != "$line" ] || return ;; esac
  printf '%s\t%s\n' "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" "$line" >>"$log/history"
} 2>/dev/null

# remember: keep on disk which routes are ours, to tell later which are missing.
remember() {
  dd if=last/owned of="$log/owned.new" conv=fsync && mv "$log/owned.new" "$log/owned" && return
  rm -f "$log/owned" "$log/owned.new"
  return 1
} 2>/dev/null

# watchdog FILE: whether the watchdog whose number is in a file is alive, and no other process has
# that number by now. Sets $pid.
watchdog() {
  line=
  read -r pid <"$1" || return
  read -r line <"/proc/$pid/cmdline"
  case $line in *pending/watch*) ;; *) return 1 ;; esac
} 2>/dev/null

# end_watchdog: end the one that was found, with what it has started.
end_watchdog() { kill -s TERM -- "-$pid" 2>/dev/null || :; }

# take_back WHY: carry the undo out.
take_back() {
  if [ -d pending ]; then rm -rf undoing; mv pending undoing || return; fi
  watchdog undoing/pid || pid=
  sh undoing/undo "$1" >/dev/null 2>&1 9>&- 3>&- || return
  [ ! "$pid" ] || end_watchdog
}

# recover: take back what is overdue, or was left half undone.
recover() {
  if [ -d pending ]; then
    read_deadline pending
    [ "$(due_in 0)" -ge "$deadline" ] || return
  elif [ ! -d undoing ]; then
    return
  fi
  take_back "overdue"
}

# fired: the change that was asked for waits no more; say how it has ended.
fired() { echo "== fired"; tail -n 1 "$log/history" 2>/dev/null; }
