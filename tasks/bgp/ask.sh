# What a machine says of BGP: whether BIRD is installed, this tool's BIRD, and who else speaks BGP.
# Needs bird.sh.
#
# bird_port: the port of BGP; empty if the cluster has static routes

# bird_facts: print it in sections. Lines of files stand behind bars. Prints nothing if there is no
# BGP to be, and none of this tool's.
bird_facts() {
  [ "$bird_port" ] || [ -e "$bird_etc/bird.conf" ] || return
  echo "== bird version"
  bird --version 2>&1
  echo "== bird conf"
  [ ! -r "$bird_etc/bird.conf" ] || sed 's/^/|/' "$bird_etc/bird.conf"
  echo "== bird password"
  [ ! -r "$bird_etc/bgp-password.conf" ] || sha256sum <"$bird_etc/bgp-password.conf"
  echo "== bird sessions"
  birdc -r -s "$bird_control" show protocols
  echo "== bird listeners"
  ss -H -l -t -n -p "sport = :${bird_port:-179}"
} 2>/dev/null
