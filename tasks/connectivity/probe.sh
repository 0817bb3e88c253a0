# The probe of a machine. Needs a file that defines the function pings. Two shells read this file:
# the shell of probe_main.sh, and the shell in the probe's namespace.
#
# Values: outer (a process in the machine's own network; empty: this is that network), place (bridge
# or routed), probes (the four parameters of on_bridge or on_routed for each address), bridge (the
# pod bridge; empty: none), mtu and mac (of the probe), outer_mtu and outer_mac (of the machine's side)
set -f

# await: wait for a line on standard input.
await() { read -r _; }

# host COMMAND...: run the command in the machine's own network.
host() {
  if [ "$outer" ]; then
    nsenter --net="/proc/$outer/ns/net" "$@"
  else
    "$@"
  fi
}

# settings: print the machine's settings before the probe exists. pings.sh redefines this.
settings() { :; }

# prepare: prepare the probe's network before any machine pings. pings.sh redefines this.
prepare() { :; }

# wired: run the probe in this namespace until pings returns. Exits with 9 if there is no probe.
wired() {
  link=probe$outer
  words=$(wire 2>&1) || {
    printf '%s\n' "$words"
    exit 9
  }
  trap 'ip link del eth0 2>/dev/null' EXIT
  prepare
  settled
  printf '== ready %s\n' "$place"
  await && pings
  exit 0 # probe_main.sh takes some other statuses to mean that there was no probe
}

# wire: add the link between the namespace and the machine, and the probe's addresses on it. The
# machine's side has the bridge's MTU, because a bridge may take the lowest of its ports' MTUs.
wire() {
  ip link set lo up || return
  own_answers
  ip link add name eth0 up mtu "$mtu" address "$mac" type veth \
    peer name "$link" mtu "$outer_mtu" address "$outer_mac" netns "$outer" || return
  host ip link set "$link" ${bridge:+master "$bridge"} up || return
  # shellcheck disable=SC2086  # four words for each address
  set -- $probes
  while [ $# -gt 0 ]; do
    "on_$place" "$1" "$2" "$3" "$4" || return
    shift 4
  done
}

# own_answers: let root's pings use the sockets of icmp(7), which get only their own answers. A raw
# socket gets those of all other pings too, and loses its own where these fill its buffer.
own_answers() { echo "0 0" >/proc/sys/net/ipv4/ping_group_range; } 2>/dev/null

# settled: wait until the machine reaches the probe, at most three seconds. New links need a moment,
# and of many first packets at once only some can wait for a hardware address. A bridge with STP
# forwards nothing from a new port for twice its forward delay, a minute at most (IEEE 802.1D).
settled() {
  tries=0
  while [ "$tries" -lt 60 ] &&
    host ip -details -oneline link show dev "$link" | grep -q 'bridge_slave state l'; do
    sleep 1 # listening or learning
    tries=$((tries + 1))
  done
  # shellcheck disable=SC2086  # four words for each address
  set -- $probes
  while [ $# -gt 0 ]; do
    met "$2" &
    shift 4
  done
  wait
} >/dev/null 2>&1 </dev/null

# met ADDRESS: have the machine ping the probe until there is an answer, three times at most.
met() {
  for _ in 1 2 3; do host ping -n -q -c 1 -W 1 "$1" && return; done
}

# on_bridge FAMILY ADDRESS LENGTH GATEWAY: add the address in the pods' network.
on_bridge() {
  [ "$1" = 4 ] && nodad='' || nodad=nodad
  printf '%s\n' "addr add $2/$3 dev eth0 $nodad" "route add default via $4 dev eth0" |
    ip "-$1" -batch -
}

# on_routed FAMILY ADDRESS LENGTH GATEWAY: add the address and a route to it from the machine. The
# gateway is the other end of the link.
on_routed() {
  [ "$1" = 4 ] && nodad='' || nodad=nodad
  printf '%s\n' "addr add $2/$3 dev eth0 $nodad" \
    "neigh add $4 lladdr $outer_mac dev eth0 nud permanent" \
    "route add default via $4 dev eth0 onlink" |
    ip "-$1" -batch - || return
  printf '%s\n' "neigh add $2 lladdr $mac dev $link nud permanent" "route add $2 dev $link" |
    host ip "-$1" -batch -
}
