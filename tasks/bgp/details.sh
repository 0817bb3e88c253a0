# What BIRD says in detail, and why it does not run. Needs bird.sh.

# bird_details: print it in sections; nothing where this tool's BIRD has never been.
bird_details() {
  [ -e "$bird_run/bird.conf" ] || return
  echo "== bird refuses"
  bird -p -c "$bird_run/bird.conf" 2>&1 | head -n 1
  if ! bird_runs; then
    echo "== bird hangs"
    read -r pid <"$bird_run/bird.pid" && grep -qx bird "/proc/$pid/comm" && printf '%s\n' "$pid"
    return
  fi
  for what in "status" "protocols all" "route"; do
    printf '== bird %s\n' "$what"
    # shellcheck disable=SC2086  # words of its command
    ask_bird -r show $what | grep -vE '^ +(AF|[A-Z].* capabilities|Multiprotocol|Route refresh)' |
      head -c 2000000
  done
} 2>/dev/null
