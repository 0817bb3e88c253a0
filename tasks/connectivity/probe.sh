# The probe of a machine; with files that define the function pings. Read by probe_main.sh, and by
# the shell in the probe's namespace, where outer is a process in the machine's own network.
#
# Values: place, probes (four words each), bridge, mtu, mac, outer_mac
set -f

# await: wait for a line that says to go on.
await() { read -r _; }

# host COMMAND...: run it in the machine's own network.
host() {
  if [ "$outer" ]; then
    nsenter --net="/proc/$outer/ns/net" "$@"
  else
    "$@"
  fi
}

# settings: what is to be said of the machine itself, before there is a probe.
settings() { :; }

# prepare: what is to be done in a probe's network before the others begin.
prepare() { :; }

# wired: have a probe in this namespace until its pings have ended; 9 where that fails.
wired() {
  link=probe$outer
  words=$(wire 2>&1) || {
    printf '%s\n' "$words"
    exit 9
  }
  trap 'ip link del eth0 2>/dev/null' EXIT
  prepare
  printf '== ready %s\n' "$place"
  await && pings
  exit 0 # what ends by another number had no probe
}

# wire: the link between the namespace and the machine, and the probe's addresses on it.
wire() {
  ip link set lo up || return
  ip link add name eth0 up mtu "$mtu" address "$mac" type veth \
    peer name "$link" mtu "$mtu" ${outer_mac:+address "$outer_mac"} netns "$outer" || return
  host ip link set "$link" ${bridge:+master "$bridge"} up || return
  # shellcheck disable=SC2086  # words
  set -- $probes
  while [ $# -gt 0 ]; do
    "on_$place" "$1" "$2" "$3" "$4" || return
    shift 4
  done
}

# on_bridge FAMILY ADDRESS LENGTH GATEWAY: an address next to those of the pods.
on_bridge() {
  [ "$1" = 4 ] && nodad='' || nodad=nodad
  printf '%s\n' "addr add $2/$3 dev eth0 $nodad" "route add default via $4 dev eth0" |
    ip "-$1" -batch -
}

# on_routed FAMILY ADDRESS LENGTH GATEWAY: an address alone; the gateway is the link's other end.
on_routed() {
  [ "$1" = 4 ] && nodad='' || nodad=nodad
  printf '%s\n' "addr add $2/$3 dev eth0 $nodad" \
    "neigh add $4 lladdr $outer_mac dev eth0 nud permanent" \
    "route add default via $4 dev eth0 onlink" |
    ip "-$1" -batch - || return
  printf '%s\n' "neigh add $2 lladdr $mac dev $link nud permanent" "route add $2 dev $link" |
    host ip "-$1" -batch -
}
