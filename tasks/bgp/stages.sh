# A change of this tool's BIRD, as a part of a change of routes. Needs bird.sh.
#
# bird_change: "on"; "off"; "last": with the files that the last run replaced; or empty
# bird_conf, bird_password, bird_text: its configuration, its password file and its unit

# speak: start BIRD, or have it read its new configuration.
speak() {
  keep_bird pending || return
  case $bird_change in
    on) bird_on "$bird_conf" "$bird_password" "$bird_text" ;;
    last) bird_back last "$bird_text" ;;
  esac
}

# after_routes: take BIRD away.
after_routes() { [ "$bird_change" != off ] || { keep_bird pending && bird_off; }; }

# stands: print the routes that have not come yet; if any, also the sessions.
stands() {
  echo "== lacks"
  words=$(lacking)
  [ ! "$words" ] || {
    printf '%s\n' "$words" "== sessions"
    ask_bird -r show protocols 2>&1
  }
}
