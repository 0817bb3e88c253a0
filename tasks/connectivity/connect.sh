# TCP connections instead of pings, where ICMP is closed. bash makes them.
#
# Values: count, the connections to an address

# connect ADDRESS PORT COMMAND...: how many were answered, if only turned down; each is made by
# the command, as `host`, or by none.
connect() {
  to=$1 port=$2 got=0 tries=0
  shift 2
  while [ "$tries" -lt "$count" ]; do
    tries=$((tries + 1))
    # shellcheck disable=SC2016  # bash's own parameters
    words=$("$@" timeout 1 bash -c 'exec 3<>"/dev/tcp/$1/$2"' bash "$to" "$port" 2>&1 </dev/null) &&
      words=refused
    case $words in *refused*) got=$((got + 1)) ;; esac
  done
  printf '%s received\n' "$got"
}
