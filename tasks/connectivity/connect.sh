# TCP connections instead of pings, for networks that block ICMP. bash makes the connections.
#
# Values: count (connections to each address)

# connect ADDRESS PORT COMMAND...: print how many connections were answered. A TCP reset is an
# answer. COMMAND, if there is one, runs the connection, for example `host`.
connect() {
  to=$1 port=$2 got=0 tries=0
  shift 2
  while [ "$tries" -lt "$count" ]; do
    tries=$((tries + 1))
    # shellcheck disable=SC2016  # bash expands these
    words=$("$@" timeout 1 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$to" "$port" 2>&1 </dev/null) &&
      words=refused
    case $words in *refused*) got=$((got + 1)) ;; esac
  done
  printf '%s received\n' "$got"
}
