# Inside of a probe's own network namespace: `sh -c SCRIPT sh PID`, where PID is a process outside.
#
# bridge: the machine's pod bridge, empty: the probe is routed     mtu: bytes
# mac: the probe's hardware address     machine_mac: that of the machine's end of a routed one
# lines_4, lines_6: its addresses and routes, for `ip -batch`
# routed_4, routed_6: its addresses, where the machine needs a route to them

outer=$1 link=probe$1

# host COMMAND...: run it in the machine's own network.
host() { nsenter --net="/proc/$outer/ns/net" "$@"; }

# batch FAMILY LINES: carry them out here.
batch() {
  [ "$2" ] || return 0
  ip "-$1" -batch - <<END
$2
END
}

# reach FAMILY ADDRESS...: let the machine reach a routed probe.
reach() {
  family=$1
  shift
  [ $# != 0 ] || return 0
  for address; do
    echo "neigh add $address lladdr $mac dev $link nud permanent"
    echo "route add $address dev $link"
  done | host ip "-$family" -batch -
}

# wire: a veth pair, one end of it with the machine.
wire() {
  ip link set lo up || return
  if [ "$bridge" ]; then set --; else set -- address "$machine_mac"; fi
  ip link add name eth0 up mtu "$mtu" address "$mac" \
    type veth peer name "$link" mtu "$mtu" "$@" netns "$outer" || return
  if [ "$bridge" ]; then set -- master "$bridge"; else set --; fi
  host ip link set "$link" "$@" up || return
  batch 4 "$lines_4" && batch 6 "$lines_6" || return
  # shellcheck disable=SC2086  # several addresses
  reach 4 $routed_4 && reach 6 $routed_6
}

words=$(wire 2>&1) || { echo "$words"; exit 9; }
trap 'ip link del eth0 2>/dev/null' EXIT
prepare
if [ "$bridge" ]; then echo "== ready bridge"; else echo "== ready routed"; fi
await && pings
exit 0 # what ends by another number had no probe
