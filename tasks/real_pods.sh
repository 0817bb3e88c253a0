# Pings to and from the pods that run there, and as what theirs arrive elsewhere.
#
# arriving: a line "FAMILY PREFIX" for each that pings are counted from
# reached: a line "POD SOURCE" for each other worker's pod     own_pods: this machine's, a line each
# leaving: a line "FAMILY POD ADDRESS" for each other worker's probe

# ping_it OPTION... ADDRESS: whether an address answers.
ping_it() { ping -n -q -c 3 -i 0.2 -W 1 "$@" </dev/null >/dev/null 2>&1; }

# reach POD SOURCE: whether another worker's pod answers.
reach() { ping_it -I "$2" "$1" && echo "== reached $1"; }

# here POD: whether a pod answers its own machine.
here() { host ping -n -q -c 3 -i 0.2 -W 1 "$1" </dev/null >/dev/null 2>&1 && echo "== here $1"; }

# leave FAMILY POD ADDRESS: ping from the network of the process that has the pod's address.
leave() {
  set +f
  seen=" "
  for place in /proc/[0-9]*/ns/net; do
    network=$(readlink "$place") || continue
    case $seen in *" $network "*) continue ;; esac
    seen="$seen$network "
    if nsenter --net="$place" ip -"$1" -oneline addr show 2>/dev/null | grep -qF " $2/"; then
      nsenter --net="$place" ping -n -q -c 3 -i 0.2 -W 1 "$3" </dev/null >/dev/null 2>&1
      return
    fi
  done
}

# count_from FAMILY PREFIX: count the pings that come from a prefix.
count_from() {
  case $1 in
    4) iptables -w -A INPUT -s "$2" -p icmp --icmp-type echo-request ;;
    6) ip6tables -w -A INPUT -s "$2" -p icmpv6 --icmpv6-type echo-request ;;
  esac 2>/dev/null
}

# arrived: what came.
arrived() {
  [ -n "$outer" ] || return
  echo "== arrived"
  iptables-save -c -t filter; ip6tables-save -c -t filter
} 2>/dev/null

pings() {
  while read -r family prefix; do
    [ ! "$prefix" ] || [ -z "$outer" ] || count_from "$family" "$prefix"
  done <<END
$arriving
END
  echo "== set"
  await
  while read -r pod source; do
    [ ! "$source" ] || reach "$pod" "$source" &
  done <<END
$reached
END
  for pod in $own_pods; do here "$pod" & done
  while read -r family pod address; do
    [ ! "$address" ] || leave "$family" "$pod" "$address" &
  done <<END
$leaving
END
  wait
  echo "== sent"
  await
  arrived
}
