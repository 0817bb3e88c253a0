# push: set the deadline anew, if the change is still armed.
#
# run: its id     timeout: seconds until it takes itself back
push() {
  if is_of pending "$run" && watchdog pending/pid && due_in "$timeout" >>pending/deadline
  then echo "== armed"; else fired; fi
}
