# What a machine says of BGP: whether BIRD is installed, this tool's BIRD, and who else speaks BGP.
# Needs bird.sh.
#
# state: this tool's directory in /run
# bird_port: the port of BGP; empty if the cluster has static routes

# at_boot: print "yes" if BIRD comes back at boot as it runs now, "other" if it comes back otherwise.
at_boot() {
  wants=/etc/systemd/system/multi-user.target.wants/$bird_unit
  [ -e "$bird_boot/bird.conf" ] || [ -L "$wants" ] || return
  for file in bird.conf bgp-password.conf; do
    [ ! -e "$bird_run/$file" ] || cmp -s "$bird_run/$file" "$bird_boot/$file" || { echo other; return; }
  done
  if [ -e "$wants" ] && [ -e "$bird_run/bird.conf" ]; then echo yes; else echo other; fi
}

# bird_facts: print it in sections. Lines of files stand behind bars. Prints nothing if there is no
# BGP to be, and none of this tool's.
bird_facts() {
  [ "$bird_port" ] || [ -e "$bird_run/bird.conf" ] || [ -e "$bird_boot/bird.conf" ] ||
    [ -d "$state/last/bird" ] || return
  echo "== bird version"
  bird --version 2>&1
  echo "== bird conf"
  [ ! -r "$bird_run/bird.conf" ] || sed 's/^/|/' "$bird_run/bird.conf"
  echo "== bird password"
  [ ! -r "$bird_run/bgp-password.conf" ] || sha256sum <"$bird_run/bgp-password.conf"
  echo "== bird boot"
  at_boot
  echo "== bird before"
  [ ! -d "$state/last/bird" ] || { echo kept; sed 's/^/|/' "$state/last/bird/bird.conf"; }
  echo "== bird systemd"
  ! has_systemd || echo yes
  echo "== bird sessions"
  ask_bird -r show protocols all |
    grep -E '^[^ ]|^ *(Routes|BGP state|Last error):'
  echo "== bird listeners"
  # Not this tool's own.
  own=$(cat "$bird_run/bird.pid")
  ss -H -l -t -n -p "sport = :${bird_port:-179}" | grep -v ",pid=${own:-none},"
} 2>/dev/null
