# Pings from the probe and from the machine itself. Needs probe.sh.
#
# Values: asking (ask.sh with its values, for the machine itself; empty: the machine pings nothing),
# forwarding (empty: do not print the forwarding settings), callers (networks whose TCP connections
# are counted)

# pings: ping from the probe and the machine at once. Then keep the probe until a line comes.
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

# summaries: keep only the lines that are read later. Many pings can share one pipe, because
# ping(8) writes its summary in one piece.
summaries() { grep -E '^(==|---|rtt) | received'; }

# settings: print the settings that decide whether the machine forwards.
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

# prepare: add rules that count the TCP connections to the probe by their source.
prepare() {
  [ "$tcp" ] || return
  for caller in $callers; do
    case $caller in *:*) rule=ip6tables ;; *) rule=iptables ;; esac
    $rule -w -A INPUT -s "$caller" -p tcp --syn -j ACCEPT
  done
  for rule in iptables ip6tables; do $rule -w -A INPUT -p tcp --syn; done
} 2>/dev/null

# counted: print the rules and their counters, if iptables is installed.
counted() {
  [ "$outer" ] && iptables-save -t filter >/dev/null || return
  echo "== callers"
  iptables-save -c -t filter
  ip6tables-save -c -t filter
} 2>/dev/null
