# Takes back a change of this tool's BIRD, as a part of an undo. Needs bird.sh.
#
# bird_text: its unit     adds: lines for `ip -batch`: the routes that the undo adds
# expected, of bird.sh: the routes that came by BGP before the change

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
