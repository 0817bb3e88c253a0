# Pods that run there: pinged from the probes, and pinging them; with probe.sh.
#
# Values: senders (networks), others (pods of other machines), source4
# and source6 (the probe's addresses), pods (this machine's), leaving (see leave)

# pings: count from where pings arrive; when all do so, send them; then say what was counted.
pings() {
  for network in $senders; do arrivals "$network"; done
  echo "== set"
  await
  for pod in $others; do reached "$pod" & done
  for pod in $pods; do here "$pod" & done
  # shellcheck disable=SC2086  # three words each
  set -- $leaving
  while [ $# -gt 0 ]; do
    leave "$1" "$2" "$3" &
    shift 3
  done
  wait
  echo "== sent"
  await
  arrived
}

# answers COMMAND...: whether pings are answered, which the command sends; its last word is to whom.
answers() { "$@" </dev/null >/dev/null 2>&1; }

# reached POD: a pod of another machine, from the probe.
reached() {
  case $1 in *:*) source=$source6 ;; *) source=$source4 ;; esac
  answers ping -n -q -c 3 -i 0.2 -W 1 -I "$source" "$1" && printf '== reached %s\n' "$1"
}

# here POD: a pod of this machine, from the machine.
here() { answers host ping -n -q -c 3 -i 0.2 -W 1 "$1" && printf '== here %s\n' "$1"; }

# leave FAMILY POD ADDRESS: ping from the network of a process that has the pod's address.
leave() {
  set +f
  seen=" "
  for space in /proc/[0-9]*/ns/net; do
    network=$(readlink "$space") || continue
    case $seen in *" $network "*) continue ;; esac
    seen="$seen$network "
    if nsenter --net="$space" ip "-$1" -oneline addr show 2>/dev/null | grep -qF " $2/"; then
      answers nsenter --net="$space" ping -n -q -c 3 -i 0.2 -W 1 "$3"
      return
    fi
  done
}

# arrivals NETWORK: count pings from there.
arrivals() {
  [ "$outer" ] || return
  case $1 in
    *:*) ip6tables -w -A INPUT -s "$1" -p icmpv6 --icmpv6-type echo-request ;;
    *) iptables -w -A INPUT -s "$1" -p icmp --icmp-type echo-request ;;
  esac 2>/dev/null
}

# arrived: print the rules and their counters.
arrived() {
  [ "$outer" ] || return
  echo "== arrived"
  iptables-save -c -t filter
  ip6tables-save -c -t filter
} 2>/dev/null
