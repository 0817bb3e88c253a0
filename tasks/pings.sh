# Pings from a machine and from its probe, all at once.
#
# asker: the script that does so from the machine, given what `ask_all` or `knock_all` takes
# mtu: bytes     source_4, source_6: the probe's addresses, "-" where there is none
# from_pod, from_machine: what is pinged from where, an address a line
# port: what is connected to instead, empty for pings     callers: prefixes, from where
# forwarding: "yes" to say whether the machine forwards

# settings: whether the machine forwards, by its settings.
settings() {
  [ "$forwarding" ] || return 0
  echo "== forwarding 4"
  cat /proc/sys/net/ipv4/ip_forward
  iptables -S FORWARD 2>/dev/null
  nft list chains ip 2>/dev/null
  nft list chains inet 2>/dev/null
  echo "== forwarding 6"
  cat /proc/sys/net/ipv6/conf/all/forwarding
  ip6tables -S FORWARD 2>/dev/null
  nft list chains ip6 2>/dev/null
  nft list chains inet 2>/dev/null
}

# prepare: count the connections that come, by where they come from.
prepare() {
  [ "$port" ] || return 0
  for prefix in $callers; do
    case $prefix in *:*) rule=ip6tables ;; *) rule=iptables ;; esac
    $rule -w -A INPUT -s "$prefix" -p tcp --syn -j ACCEPT
  done
  for rule in iptables ip6tables; do $rule -w -A INPUT -p tcp --syn; done
} 2>/dev/null

# arrived: what came, if it was counted.
arrived() {
  [ -n "$outer" ] && iptables-save -t filter >/dev/null || return
  echo "== callers"
  iptables-save -c -t filter; ip6tables-save -c -t filter
} 2>/dev/null

# summaries: what counts of what ping(8) says. It writes that at once, so those of many come whole
# through one pipe.
summaries() { grep -E '^(==|---|rtt) | received'; }

# ping_pods: ping from the probe.
ping_pods() {
  # shellcheck disable=SC2086  # an address a word
  if [ "$port" ]; then knock_all pod "$port" $from_pod
  else ask_all pod "$mtu" "$source_4" "$source_6" $from_pod; fi
}

# ping_from_machine: ping from the machine itself.
ping_from_machine() {
  # shellcheck disable=SC2086  # an address a word
  if [ "$port" ]; then host sh -c "$asker" sh knock_all host "$port" $from_machine
  else host sh -c "$asker" sh ask_all host "$mtu" - - $from_machine; fi
}

# send: ping from both sides.
send() {
  if [ "$from_machine" ]; then
    ping_from_machine </dev/null | {
      ping_pods | summaries
      summaries
    }
  else
    ping_pods | summaries
  fi
}

pings() {
  if [ ! "$port" ] || command -v bash >/dev/null; then send; else echo "== lacks bash"; fi
  echo "== sent"
  await
  [ ! "$port" ] || arrived
}
