# Takes back a change of this tool's BIRD, as a part of an undo. Needs bird.sh.
#
# bird_change: "on", "off" or "as it is"

# other_than_routes: have BIRD as it was.
other_than_routes() { [ ! -d "$place/bird" ] || bird_back "$place"; }

# is_as_before: whether this tool's BIRD is as it was.
is_as_before() {
  [ -d "$place/bird" ] || return 0
  if [ -e "$place/bird/bird.conf" ]; then
    cmp -s "$place/bird/bird.conf" "$bird_etc/bird.conf" && bird_runs
  else
    [ ! -e "$bird_etc/bird.conf" ] && ! bird_runs
  fi
}
