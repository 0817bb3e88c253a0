# Pings from the probe to real pods, and from real pods to the probes. Needs probe.sh.
#
# Values: senders (networks whose pings are counted), others (pods of other machines), source4 and
# source6 (the probe's addresses), pods (this machine's pods), leaving (the parameters of leave for
# each ping)

# pings: start to count pings by source. Once all machines count, ping. Then print the counters.
pings() {
  for network in $senders; do arrivals "$network"; done
  echo "== set"
  await
  for pod in $others; do reached "$pod" & done
  for pod in $pods; do here "$pod" & done
  # shellcheck disable=SC2086  # three words for each ping
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

# answers COMMAND...: run a ping command without output. Succeeds if there is an answer.
answers() { "$@" </dev/null >/dev/null 2>&1; }

# reached POD: ping a pod of another machine from the probe. Print the pod if it answers.
reached() {
  case $1 in *:*) source=$source6 ;; *) source=$source4 ;; esac
  answers ping -n -q -c 3 -i 0.2 -W 1 -I "$source" "$1" && printf '== reached %s\n' "$1"
}

# here POD: ping a pod of this machine from the machine itself. Print the pod if it answers.
here() { answers host ping -n -q -c 3 -i 0.2 -W 1 "$1" && printf '== here %s\n' "$1"; }

# leave FAMILY POD ADDRESS: ping the address from the pod. The pod's network is that of a process
# where the pod's address is set.
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

# arrivals NETWORK: add a rule that counts the pings from that network.
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
