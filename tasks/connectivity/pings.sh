# What a machine pings from its probe and from itself; with probe.sh.
#
# Values: asking (ask.sh and its values, for the machine itself;
# empty: nothing to ask), forwarding (empty: not asked), callers (networks)

# pings: ping from probe and machine at once; then keep the probe until a line ends the wait.
pings() {
  if [ "$tcp" ] && ! command -v bash >/dev/null; then
    echo "== lacks bash"
  elif [ "$asking" ]; then
    host sh -c "$asking
ask host" </dev/null | {
      ask pod | summaries
      summaries
    }
  else
    ask pod | summaries
  fi
  echo "== sent"
  await
  [ -z "$tcp" ] || counted
}

# summaries: ping(8) writes its summary at once, so those of many come whole through one pipe.
summaries() { grep -E '^(==|---|rtt) | received'; }

# settings: print the settings that let the machine forward.
settings() {
  [ "$forwarding" ] || return
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

# prepare: count from where TCP connections come to the probe.
prepare() {
  [ "$tcp" ] || return
  for caller in $callers; do
    case $caller in *:*) rule=ip6tables ;; *) rule=iptables ;; esac
    $rule -w -A INPUT -s "$caller" -p tcp --syn -j ACCEPT
  done
  for rule in iptables ip6tables; do $rule -w -A INPUT -p tcp --syn; done
} 2>/dev/null

# counted: print the rules and their counters, if iptables is there.
counted() {
  [ "$outer" ] && iptables-save -t filter >/dev/null || return
  echo "== callers"
  iptables-save -c -t filter
  ip6tables-save -c -t filter
} 2>/dev/null
