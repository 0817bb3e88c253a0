# A change that is taken back from another connection.
#
# run: its id     why: for the history     patience: seconds to wait for the lock
# dropping: "yes" where it has to be there still, and is asked for by a person

# is_there: whether the change of this run waits here, or is half undone.
is_there() { [ "$(cat pending/run undoing/run 2>/dev/null)" = "$run" ]; }

# was_kept: whether the history says that it was confirmed.
was_kept() { cut -f 2,5 "$log/history" 2>/dev/null | grep -q "^$run${tab}kept"; }

# main: take it back, and say what came of it.
main() {
  enter -w "$patience" || return
  if is_there; then
    if take_back "$why"; then echo "== done"; else echo "== broken"; fi
  elif [ "$dropping" ]; then
    fired
  elif was_kept; then
    echo "== kept"
  else
    echo "== done"
  fi
}
