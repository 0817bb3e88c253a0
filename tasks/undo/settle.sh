# settle: take back what is overdue, before anything is asked.
settle() {
  [ -d "$state/pending" ] || [ -d "$state/undoing" ] || return
  (enter -n && recover) >/dev/null
}
