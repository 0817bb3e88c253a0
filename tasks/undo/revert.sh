# Reverts a change from another connection than the one that made it.
#
# run: its ID     why: the reason, for the history     patience: seconds to wait for the lock
# pending_only: "yes" to revert only a change that still waits for confirmation

# is_there: whether the change of this run is pending here, or half reverted.
is_there() { [ "$(cat pending/run undoing/run 2>/dev/null)" = "$run" ]; }

# was_kept: whether the history says that the change was confirmed.
was_kept() { cut -f 2,5 "$log/history" 2>/dev/null | grep -q "^$run${tab}kept"; }

# main: revert the change, and print the outcome.
main() {
  enter -w "$patience" || return
  if is_there; then
    rm -f pending/committing  # all machines are told to revert
    if revert "$why"; then echo "== done"; else echo "== broken"; fi
  elif [ "$pending_only" ]; then
    no_longer_pending
  elif was_kept; then
    echo "== kept"
  else
    echo "== done"
  fi
}
