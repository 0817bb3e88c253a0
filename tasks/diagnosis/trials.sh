# Pings pairs one at a time, and reads the counters of both ends before and after. Needs probe.sh,
# connect.sh and firewall.sh. A source is an address of the probe, or the word `machine`: then the
# machine itself pings.
#
# Values: tcp (a port, or empty for ICMP), routers (how many are between machines), sizes (of a
# packet, in bytes), large (for each pair: number, family, source, target), trials (for each pair:
# the arguments of trial)

# pings: find the packet sizes that pass, all pairs at once; then make the trials one by one.
pings() {
  # shellcheck disable=SC2086  # four words each
  set -- $large
  while [ $# -gt 0 ]; do
    [ "$2" = 4 ] && headers=28 || headers=48 # of IP and ICMP
    for size in $sizes; do fits "$1" "$size" "$3" "$4" $((size - headers)) & done
    shift 4
  done
  wait
  # shellcheck disable=SC2086  # six words each
  set -- $trials
  while [ $# -gt 0 ]; do
    trial "$1" "$2" "$3" "$4" "$5" "$6"
    shift 6
  done
  echo "== end"
}

# fits NUMBER SIZE SOURCE TARGET BYTES: print a section if a packet of SIZE is answered. BYTES: SIZE
# without the headers.
fits() {
  send "$3" "$4" -c 1 -W 1 -M "do" -s "$5" >/dev/null 2>&1 </dev/null &&
    printf '== size %s %s\n' "$1" "$2"
}

# trial NUMBER FAMILY source|target SOURCE TARGET NEIGHBOUR: do one end's part in a trial.
# NEIGHBOUR: the address of the next machine on the way, or `none`.
trial() {
  counters before "$1" "$2"
  printf '== at %s.\n' "$1"
  await
  if [ "$3" = source ]; then
    [ "$4" = machine ] && hops=$routers || hops=$((routers + 1)) # before the target's machine
    try hop "$1" send "$4" "$5" -c 1 -W 1 -t $((hops + 1)) &
    try ping "$1" reach "$4" "$5" &
    wait
  fi
  printf '== sent %s.\n' "$1"
  await
  counters after "$1" "$2"
  [ "$6" = none ] || neighbour "$1" "$6"
}

# send SOURCE TARGET OPTION...: ping the target from the source.
send() {
  source=$1 target=$2
  shift 2
  if [ "$source" = machine ]; then
    host ping -n "$@" "$target"
  else
    ping -n "$@" -I "$source" "$target"
  fi
}

# reach SOURCE TARGET: ping, or connect where tcp has a port.
reach() {
  if [ -z "$tcp" ]; then
    send "$1" "$2" -c 2 -i 0.2 -W 1
  elif [ "$1" = machine ]; then
    connect "$2" "$tcp" host
  else
    connect "$2" "$tcp"
  fi
}

# try hop|ping NUMBER COMMAND...: print all output of a command at once, in a section.
try() {
  key="$1 $2"
  shift 2
  words=$("$@" 2>&1 </dev/null)
  printf '== %s\n%s\n' "$key" "$words"
}

# counters before|after NUMBER FAMILY: print the counters of probe, machine and firewall.
counters() {
  printf '== %s %s\n' "$1" "$2"
  grep -hE '^Icmp: |^Icmp6InEchos|^Tcp: ' /proc/net/snmp /proc/net/snmp6 2>/dev/null
  host grep '^TcpExt: ' /proc/net/netstat
  printf '== %s-firewall %s\n' "$1" "$2"
  drops "$3"
  echo
}

# neighbour NUMBER ADDRESS: print the other machine's state in the neighbour table. The kernel takes
# 8 s to give up a neighbour that it knew: 5 s in DELAY, then 3 s in PROBE. So wait for the end.
neighbour() {
  printf '== neighbour %s\n' "$1"
  tries=0
  while tries=$((tries + 1)); do
    state=$(host ip -oneline neigh show to "$2")
    case $state in *DELAY* | *PROBE*) [ $tries -lt 45 ] || break ;; *) break ;; esac
    sleep 0.2
  done
  printf '%s\n' "$state"
}
