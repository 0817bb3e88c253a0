# settle: revert an overdue change, before the machine is asked for its facts.
settle() {
  [ -d "$state/pending" ] || [ -d "$state/undoing" ] || return
  (enter -n && recover) >/dev/null
}
