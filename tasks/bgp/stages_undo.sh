# Takes back a change of this tool's BIRD, as a part of an undo. Needs bird.sh.
#
# bird_change: "on", "off" or empty

# back_before_routes: have BIRD again, and its routes, before static routes go.
back_before_routes() {
  [ "$bird_change" = off ] && [ -d "$place/bird" ] || return 0
  bird_back "$place"
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ "$(lacking)" ] || break
    sleep 1
  done
}

# back_after_routes: have BIRD as it was, now that static routes are there.
back_after_routes() { [ ! -d "$place/bird" ] || [ "$bird_change" = off ] || bird_back "$place"; }

# is_as_before: whether this tool's BIRD is as it was.
is_as_before() {
  [ -d "$place/bird" ] || return 0
  if [ -e "$place/bird/bird.conf" ]; then
    cmp -s "$place/bird/bird.conf" "$bird_etc/bird.conf" && bird_runs
  else
    [ ! -e "$bird_etc/bird.conf" ] && ! bird_runs
  fi
}
