# Prints what a machine holds of links, routes, rules, settings and firewalls, in sections that begin
# with a line "== name detail". It changes nothing. What may hold any text stands behind bars. The
# last line of a section is "complete", unless its program failed or there was too much.
#
# most: bytes of one section     settings: patterns of files below /proc/sys/net
# kubelet: files     cni: a directory     records: patterns of files of this tool

# listing COMMAND...: print what the command prints, up to the limit.
listing() { { "$@" && printf '\ncomplete\n'; } 2>/dev/null | head -c "$most"; }

# barred COMMAND...: the same, each line after a "|".
barred() { listing "$@" | sed 's/^/|/'; }

# saver FAMILY BACKEND: print which program lists the tables of a backend of iptables. The name stands
# also for one that is missing although the kernel has tables of that backend.
saver() {
  case $("$1tables" --version 2>/dev/null) in *nf_tables*) used=nft ;; ?*) used=legacy ;; *) used= ;; esac
  if command -v "$1tables-$2-save" >/dev/null; then
    printf '%s\n' "$1tables-$2-save"
  elif [ "$used" = "$2" ]; then
    printf '%s\n' "$1tables-save"
  elif [ "$2" = legacy ] && [ -s "/proc/net/$1_tables_names" ]; then
    printf '%s\n' "$1tables-legacy-save"
  fi
}

# firewalls: print every table of every backend of iptables, then those of nft.
firewalls() {
  for ip in ip ip6; do
    for backend in nft legacy; do
      program=$(saver "$ip" "$backend")
      [ "$program" ] || continue
      printf '\n== firewall %s\n' "${ip}tables-$backend"
      barred "$program"
    done
  done
  if command -v nft >/dev/null || grep -q '^nf_tables ' /proc/modules; then
    printf '\n== firewall nft\n'
    # A set is one long line in some versions: it is split.
    barred nft --stateless list ruleset | sed -E '/(.{250}){4}/s/, /,\n|\t\t/g'
  fi
}

# neighbours: print the permanent entries, and those that the machine answers for others.
neighbours() {
  ip -N -oneline neigh show nud permanent | grep " PERMANENT"
  ip -N -oneline neigh show proxy
}

# sysctls: print the settings, each with its path.
sysctls() {
  cd /proc/sys/net || return
  # shellcheck disable=SC2086  # patterns
  grep -H . $settings
  [ $? -lt 2 ] || : # some settings are not in every kernel
}

# files: print the files that the copy has too. Of kubelet's only the pod CIDR is told.
files() {
  for file in $kubelet; do
    [ -r "$file" ] || continue
    printf '\n== file %s\n' "$file"
    barred sed -n '/^podCIDR:/p' "$file"
  done
  for file in "$cni"/*.conf "$cni"/*.conflist "$cni"/*.json; do
    [ -f "$file" ] || continue
    printf '\n== file %s\n' "$file"
    barred cat "$file"
  done
  # shellcheck disable=SC2086  # patterns
  for file in $records; do
    [ -f "$file" ] || continue
    printf '\n== file %s\n' "$file"
    case $file in *.save) barred base64 "$file" ;; *) barred cat "$file" ;; esac
  done
}

# main: print all sections.
main() {
  echo "== client"
  printf '%s\n' "$SSH_CONNECTION"
  echo "== kernel"
  uname -sr
  echo "== maker"
  for file in sys_vendor product_name chassis_asset_tag; do cat "/sys/class/dmi/id/$file"; done
  printf '\n== link\n'
  listing ip -json -pretty -details address show
  # A kernel without IPv6 answers a query for IPv6 routes with those of IPv4; "root" filters them.
  printf '\n== route 4\n'
  listing ip -N -details -oneline -4 route show table all root 0.0.0.0/0
  printf '\n== route 6\n'
  listing ip -N -details -oneline -6 route show table all root ::/0
  for family in 4 6; do
    printf '\n== rule %s\n' "$family"
    listing ip -N -details -oneline "-$family" rule show
  done
  printf '\n== neighbour\n'
  listing neighbours
  printf '\n== sysctl\n'
  listing sysctls
  firewalls
  printf '\n== reserved\n'
  for file in /var/lib/cni/networks/*/*; do printf '%s\n' "${file##*/}"; done
  files
  for place in pending undoing; do
    [ ! -d "$state/$place" ] || printf '\n== armed\nyes\n'
  done
  printf '\n== end\n'
} 2>/dev/null
