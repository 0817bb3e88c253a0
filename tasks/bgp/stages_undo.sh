# Takes back a change of this tool's BIRD, as a part of an undo. Needs bird.sh.
#
# bird_text: its unit     adds: lines for `ip -batch`: the routes that the undo adds
# expected, of bird.sh: the routes that came by BGP before the change

# leave_needed: others may have confirmed: they need what a BIRD that was begun here announces, and
# have ended theirs if it was ended. So a BIRD that runs stays as it is. One that was ended comes
# back, and the routes that came for its own stay.
leave_needed() {
  [ -d "$place/bird" ] || return
  if [ ! -e "$bird_run/bird.conf" ]; then
    [ ! "$kept" ] || return
    printf '%s\n' "$adds" | ip -force -batch -
    bird_back "$place" "$bird_text"
    touched >"$place/before.new" && mv "$place/before.new" "$place/before" || return
    before=$(cat "$place/before")
  fi
  rm -rf "$place/bird"
}

# back_before_routes: add what the undo adds. Then have BIRD as it was, and its routes, before the
# undo deletes anything.
back_before_routes() {
  [ -d "$place/bird" ] || return 0
  printf '%s\n' "$adds" | ip -force -batch -
  bird_back "$place" "$bird_text"
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ "$(lacking)" ] || break
    sleep 1
  done
}

# is_as_before: whether this tool's BIRD is as it was.
is_as_before() {
  [ -d "$place/bird" ] || return 0
  if [ -e "$place/bird/bird.conf" ]; then
    cmp -s "$place/bird/bird.conf" "$bird_run/bird.conf" && bird_runs
  else
    [ ! -e "$bird_run/bird.conf" ] && ! bird_runs
  fi
}
