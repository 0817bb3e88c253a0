# Pairs pinged alone, while both of their ends count.
#
# sizes: a line "KEY BYTES HEADER FROM TARGET" for each size that a packet may get through with
# trials: a line "NUMBER FAMILY ROLE FROM TARGET HOPS NEIGHBOUR" for each trial that this machine
#   has a part in. ROLE: source or target. FROM: the address of the probe that pings, or "host".
#   HOPS: how many routers a packet may pass, so that the target's machine answers it itself.
#   NEIGHBOUR: the other machine's internal IP, or "-".
# port: what is connected to instead, empty for pings

# count_now before|after NUMBER FAMILY: what came, and what was dropped so far.
count_now() {
  echo "== $1 $2"
  cat /proc/net/snmp /proc/net/snmp6 2>/dev/null | grep -E '^Icmp: |^Icmp6InEchos|^Tcp: '
  host cat /proc/net/netstat | grep '^TcpExt: '
  echo "== $1-firewall $2"
  firewall "$3"
}

# say KEY NUMBER COMMAND...: what a command says, in a section.
say() {
  key="$1 $2"
  shift 2
  words=$("$@" 2>&1 </dev/null)
  printf '== %s\n%s\n' "$key" "$words"
}

# ping_from host|ADDRESS OPTION...: ping from the machine, or from its probe.
ping_from() {
  from=$1
  shift
  if [ "$from" = host ]; then host ping -n "$@"; else ping -n -I "$from" "$@"; fi
}

# try FROM TARGET: two pings, or connections.
try() {
  if [ ! "$port" ]; then ping_from "$1" -c 2 -i 0.2 -W 1 "$2"
  elif [ "$1" = host ]; then connect "$2" "$port" host
  else connect "$2" "$port"; fi
}

# neighbour NUMBER ADDRESS: what the kernel knows of another machine on the link.
neighbour() {
  echo "== neighbour $1"
  tries=0 # the kernel asks one that it knew, 5 s later and for 3 s, before it gives it up
  while tries=$((tries + 1)); do
    state=$(host ip -oneline neigh show to "$2")
    case $state in *DELAY*|*PROBE*) [ $tries -lt 45 ] || break ;; *) break ;; esac
    sleep 0.2
  done
  echo "$state"
}

# size KEY BYTES HEADER FROM TARGET: whether a packet of so many bytes gets through whole.
size() {
  ping_from "$4" -c 1 -W 1 -M 'do' -s $(($2 - $3)) "$5" >/dev/null 2>&1 </dev/null &&
    echo "== size $1 $2"
}

# trial NUMBER FAMILY ROLE FROM TARGET HOPS NEIGHBOUR: this machine's part in one.
trial() {
  count_now before "$1" "$2"
  echo "== at $1."
  await
  if [ "$3" = source ]; then
    say hop "$1" ping_from "$4" -c 1 -W 1 -t "$6" "$5" &
    say ping "$1" try "$4" "$5" &
    wait
  fi
  echo "== sent $1."
  await
  count_now after "$1" "$2"
  [ "$7" = - ] || neighbour "$1" "$7"
}

# pings: descriptor 4 has the list, since trials listen on stdin.
pings() {
  while read -r key bytes header from target; do
    [ ! "$target" ] || size "$key" "$bytes" "$header" "$from" "$target" &
  done <<END
$sizes
END
  wait
  while read -r number family role from target hops other <&4; do
    [ ! "$other" ] || trial "$number" "$family" "$role" "$from" "$target" "$hops" "$other"
  done 4<<END
$trials
END
  echo "== end"
}
