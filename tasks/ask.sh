# Pings from one side, in the words of ping(8).
#
# count: how many pings a target gets

# ask OPTIONS_4 OPTIONS_6 ADDRESS...: ping all at once; sets $silent to those that did not answer.
ask() {
  four=$1 six=$2 sent='' silent=''
  shift 2
  for to; do
    case $to in *:*) options=$six ;; *) options=$four ;; esac
    # shellcheck disable=SC2086  # several options
    ping -n -q -c "$count" -i 0.2 -W 1 $options "$to" 2>/dev/null &
    sent="$sent $! $to"
  done
  # shellcheck disable=SC2086  # a number and an address of each
  set -- $sent
  while [ $# -gt 0 ]; do
    wait "$1"
    [ $? -ne 1 ] || silent="$silent $2" # what could not be sent at all is not sent again
    shift 2
  done
}

# ask_all SIDE MTU SOURCE_4 SOURCE_6 ADDRESS...: pings that fill the MTU, then small ones to those
# that did not answer. A source is "-" where it is left to the kernel.
ask_all() {
  side=$1 small_4="-I $3" small_6="-I $4"
  [ "$3" != - ] || small_4=
  [ "$4" != - ] || small_6=
  # Less the headers of IP and ICMP, in bytes.
  large_4="-M do -s $(($2 - 28)) $small_4" large_6="-M do -s $(($2 - 48)) $small_6"
  shift 4
  echo "== large $side"
  ask "$large_4" "$large_6" "$@"
  echo "== small $side"
  # shellcheck disable=SC2086  # several addresses
  ask "$small_4" "$small_6" $silent
}

# connect ADDRESS PORT COMMAND...: how many connections were answered, if only turned down.
connect() {
  to=$1 port=$2 got=0
  shift 2
  for _ in $(seq "$count"); do
    # shellcheck disable=SC2016  # bash's own parameters
    words=$("$@" timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$to" "$port" 2>&1 </dev/null) &&
      words=refused
    case $words in *refused*) got=$((got + 1)) ;; esac
  done
  echo "$got received"
}

# knock ADDRESS PORT: connect, in the words of ping(8).
knock() {
  words=$(connect "$@")
  printf -- '--- %s\n%s\n' "$1" "$words"
}

# knock_all SIDE PORT ADDRESS...: connect to all at once.
knock_all() {
  echo "== large $1"
  port=$2
  shift 2
  for to; do knock "$to" "$port" & done
  wait
}
