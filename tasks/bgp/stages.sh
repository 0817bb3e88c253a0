# A change of this tool's BIRD, as a part of a change of routes. Needs bird.sh.
#
# bird_change: "on", "off" or "as it is"     bird_conf, bird_password, bird_text: for bird_on
# expected: a line "FAMILY PREFIX NEXT_HOP" for each route that has to come by BGP

# before_routes: start BIRD, or have it read its new configuration.
before_routes() {
  [ "$bird_change" != on ] || {
    keep_bird pending && bird_on "$bird_conf" "$bird_password" "$bird_text"
  }
}

# after_routes: take BIRD away.
after_routes() {
  [ "$bird_change" != off ] || { keep_bird pending && bird_off; }
}

# stands: print the routes that have not come yet.
stands() {
  echo "== lacks"
  there=$(for family in 4 6; do bird_routes $family; done)
  printf '%s\n' "$expected" | while read -r _ prefix via; do
    case "$nl$there" in *"$nl$prefix via $via "*) ;; *) printf '%s\n' "$prefix" ;; esac
  done
} 2>/dev/null
