# push: move the deadline if the change is still armed, and print the outcome.
#
# run: its ID     timeout: seconds from now to the new deadline
push() {
  if is_of pending "$run" && watchdog pending/pid && due_in "$timeout" >>pending/deadline
  then echo "== armed"; else no_longer_pending; fi
}

# commit: move the deadline, and note that from now on other machines may have confirmed the change.
commit() { { ! is_of pending "$run" || : >pending/committing; } && push; }
