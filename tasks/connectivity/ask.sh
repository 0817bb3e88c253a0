# All targets of one side asked at once: of the probe, or of the machine itself. With connect.sh.
#
# Values: count; tcp, a port or empty; size4 and size6, bytes that fill the MTU; for the probe
# pods, addresses, and its own, source4 and source6; for the machine hosts, addresses

# ask pod|host: what came of the targets of that side, in sections.
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

# pinged SIZE4 SIZE6 ADDRESS...: ping all; those that did not answer are in silent, but for those
# to which nothing could be sent.
pinged() {
  four=$1 six=$2 sent='' silent=''
  shift 2
  for target; do
    case $target in
      *:*) size=$six source=$source6 ;;
      *) size=$four source=$source4 ;;
    esac
    ping -n -q -c "$count" -i 0.2 -W 1 ${size:+-M do -s "$size"} ${source:+-I "$source"} \
      "$target" 2>/dev/null &
    sent="$sent $! $target"
  done
  # shellcheck disable=SC2086  # a process and an address each
  set -- $sent
  while [ $# -gt 0 ]; do
    wait "$1"
    [ $? -ne 1 ] || silent="$silent $2"
    shift 2
  done
}

# knock ADDRESS: what came of connections to it, in the words of ping(8).
knock() {
  words=$(connect "$1" "$tcp")
  printf -- '--- %s\n%s\n' "$1" "$words"
}
