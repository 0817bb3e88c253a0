# Prints a machine's links, settings, firewall and BIRD. Needs firewall.sh, bird.sh and details.sh.

# host COMMAND...: run a command in the machine's own network. This script is there already.
host() { "$@"; }

# main: print everything, in sections.
main() {
  echo "== link"
  ip -oneline link show
  echo "== sysctl"
  cd /proc/sys/net && grep -H . ipv4/ip_forward ipv6/conf/all/forwarding \
    ipv4/conf/*/forwarding ipv4/conf/*/rp_filter
  echo "== neighbours"
  ip -oneline neigh show | grep -E ' (FAILED|INCOMPLETE)'
  bird_details
  for family in 4 6; do
    printf '\n== firewall %s\n' "$family"
    firewall $family
  done
  printf '\n== end\n'
} 2>/dev/null
