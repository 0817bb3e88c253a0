# Where a machine's pings start: in a probe's namespace, else at addresses on lo, else anywhere.
#
# Values: outer (empty: this is the machine's own network), shared
# (probe.sh and what goes with it), alone (the probe's addresses), lifetime (seconds)

# main: start the probe, print that it is ready, wait for a line, and ping.
main() {
  settings
  ready=none
  if [ "$alone" ]; then
    echo "== wiring"
    outer=$$ unshare --net sh -c "$shared
wired" <&3 2>&1
    case $? in 9 | 126 | 127 | 1) ;; *) return ;; esac
    trap off_lo EXIT
    if on_lo 2>&1; then ready=lo; fi
  fi
  printf '== ready %s\n' "$ready"
  await <&3 && pings <&3
}

# on_lo: the probe's addresses on lo, from which the kernel takes them when their time is over.
on_lo() {
  for address in $alone; do
    ip addr add "$address" dev lo valid_lft "$lifetime" preferred_lft "$lifetime" || return
  done
}

# off_lo: remove the addresses from lo.
off_lo() {
  for address in $alone; do ip addr del "$address" dev lo; done
}
