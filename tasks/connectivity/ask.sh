# Pings all targets of one sender at once. The sender is the probe or the machine itself. Needs
# connect.sh.
#
# Values: count (pings to a target), tcp (a port; empty: use ping), size4 and size6 (payload bytes
# that fill the MTU). For the probe: pods (target addresses), source4 and source6 (the probe's own
# addresses). For the machine: hosts (target addresses).

# ask pod|host: ping the targets of that sender and print the results in sections.
ask() {
  case $1 in
    pod) targets=$pods ;;
    host) targets=$hosts source4='' source6='' ;;
  esac
  printf '== large %s\n' "$1"
  if [ "$tcp" ]; then
    for target in $targets; do knock "$target" & done
    wait
  else
    # shellcheck disable=SC2086  # addresses
    pinged "$size4" "$size6" $targets
    printf '== small %s\n' "$1"
    # shellcheck disable=SC2086  # addresses
    pinged '' '' $silent
  fi
}

# pinged SIZE4 SIZE6 ADDRESS...: ping all addresses. Then silent holds those that did not answer.
# Addresses to which ping could not send anything are not in silent. The machine's own pings may use
# raw sockets, and each of these gets the answers of all: 16 at a time do not fill its buffer.
pinged() {
  four=$1 six=$2 sent='' silent='' started=0
  shift 2
  for target; do
    case $target in
      *:*) size=$six source=$source6 ;;
      *) size=$four source=$source4 ;;
    esac
    ping -n -q -c "$count" -i 0.2 -W 1 ${size:+-M do -s "$size"} ${source:+-I "$source"} \
      "$target" 2>/dev/null &
    sent="$sent $! $target"
    started=$((started + 1))
    [ $((started % 16)) -gt 0 ] || sleep 0.1
  done
  # shellcheck disable=SC2086  # pairs of a process and an address
  set -- $sent
  while [ $# -gt 0 ]; do
    wait "$1"
    [ $? -ne 1 ] || silent="$silent $2"
    shift 2
  done
}

# knock ADDRESS: connect to the address and print the result in the format of ping(8).
knock() {
  words=$(connect "$1" "$tcp")
  printf -- '--- %s\n%s\n' "$1" "$words"
}
