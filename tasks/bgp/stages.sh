# A change of this tool's BIRD, as a part of a change of routes. Needs bird.sh.
#
# bird_change: "on", "off" or empty     bird_conf, bird_password, bird_text: for bird_on

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
  lacking
}
