# Starts the probe of a machine and then its pings. The probe is a namespace. If that fails, the
# probe's addresses are put on lo. If that fails too, the machine pings without a probe.
#
# Values: outer (empty: this is the machine's own network), shared (probe.sh and the files and
# values that it needs), alone (the probe's addresses), lifetime (seconds)

# main: start the probe, print that it is ready, wait for a line on descriptor 3, and ping.
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

# on_lo: add the probe's addresses to lo. The kernel removes them after their lifetime.
on_lo() {
  for address in $alone; do
    case $address in *:*) nodad=nodad ;; *) nodad='' ;; esac
    ip addr add "$address" dev lo valid_lft "$lifetime" preferred_lft "$lifetime" $nodad || return
  done
}

# off_lo: remove the probe's addresses from lo.
off_lo() {
  for address in $alone; do ip addr del "$address" dev lo; done
}
