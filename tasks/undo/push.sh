# push: move the deadline if the change is still armed, and print the outcome.
#
# run: its ID     timeout: seconds from now to the new deadline
push() {
  if is_of pending "$run" && watchdog pending/pid && due_in "$timeout" >>pending/deadline
  then echo "== armed"; else no_longer_pending; fi
}
