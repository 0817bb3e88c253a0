# What a machine says of itself, in sections that begin with a line "== name detail".
# Nothing here changes it, but for what `settle` takes back because it is overdue.
#
# needed: programs, a line each     files: patterns of our files that bring routes back
# state, log: our directories       own: our routing protocol number
# known: next hops of the cluster, a line each; strangers: "yes" to ping the others
# ours_4, ours_6: lines for `ip -batch` that show the routes which this tool may touch; empty for
#   an IP version without pods

# strangers_answering: next hops of our routes that are no machine's, and answer a ping.
strangers_answering() {
  for hop in $(ip -4 -oneline route show proto "$own"; ip -6 -oneline route show proto "$own"); do
    [ "$previous" = via ] && printf '%s\n' "$hop"
    previous=$hop
  done | sort -u | {
    while read -r hop; do
      case "$nl$known$nl" in *"$nl$hop$nl"*) continue ;; esac
      ping -n -q -c 2 -i 0.3 -W 1 "$hop" >/dev/null 2>&1 && printf '%s\n' "$hop" &
    done
    wait
  }
}

# missing PROGRAM: its name where it is not there; BusyBox has some of the name that lack options.
missing() {
  IFS=:
  for place in $PATH; do
    [ -x "$place/$1" ] || continue
    unset IFS
    # shellcheck disable=SC3013  # -ef is in POSIX since 2024, and in every sh
    [ ! "$place/$1" -ef /bin/busybox ] || printf "%s other than BusyBox's\n" "$1"
    return
  done
  unset IFS
  printf '%s\n' "$1"
}

# lines FILE: what is in it. Where it can, the shell does what a program could: one costs a
# millisecond.
lines() { while IFS= read -r line || [ "$line" ]; do printf '%s\n' "$line"; done <"$1"; }

# behind_bars FILE: the same, each line behind a "|": whatever it is, it heads no section.
behind_bars() { while IFS= read -r line || [ "$line" ]; do printf '|%s\n' "$line"; done <"$1"; }

# show HEAD ARGUMENT...: a section of that head, with what `ip` shows for these arguments. An `ip`
# that fails is as good as missing.
show() {
  printf '== %s\n' "$1"
  shift
  ip -details -oneline "$@" || printf '== missing\nip\n'
}

# show_family FAMILY LINES: the policy rules of an IP version, and the routes that these lines for
# `ip -batch` ask for.
show_family() {
  show "rule $1" "-$1" rule show
  show "ours $1" "-$1" -batch - <<END
$2
END
}

# waiting PLACE: the change that waits in a directory, and how many seconds it has left.
waiting() {
  echo "== pending"
  read -r up _ </proc/uptime
  read_deadline "$state/$1"
  printf '%s %s\n' "$1" $((deadline - ${up%.*}))
  (cd "$state/$1" && cat run since who what machines)
}

# main: say all of it.
main() {
  nl='
'
  settle
  echo "== missing"
  for program in $needed; do missing "$program"; done
  echo "== client"
  printf '%s\n' "$SSH_CONNECTION"
  # "root" is for kernels without IPv6: asked for its routes, they show those of IPv4.
  show "route 4" -4 route show table all root 0.0.0.0/0
  show "route 6" -6 route show table all root ::/0
  show address address show
  show bridge link show type bridge
  [ ! "$ours_4" ] || show_family 4 "$ours_4"
  [ ! "$ours_6" ] || show_family 6 "$ours_6"
  echo "== maker"
  for file in sys_vendor product_name chassis_asset_tag; do lines "/sys/class/dmi/id/$file"; done
  for file in /var/lib/kubelet/kubelet-config.yaml /var/lib/kubelet/config.yaml; do
    [ -r "$file" ] || continue
    printf '== kubelet %s\n' "$file"
    while IFS= read -r line || [ "$line" ]; do
      case $line in podCIDR:*) printf ' %s\n' "${line#podCIDR:}" ;; esac
    done <"$file"
  done
  for file in /etc/cni/net.d/*.conf /etc/cni/net.d/*.conflist /etc/cni/net.d/*.json; do
    [ -r "$file" ] || continue
    printf '== cni %s\n' "$file"
    behind_bars "$file"
  done
  echo "== reserved"
  for file in /var/lib/cni/networks/*/*; do printf '%s\n' "${file##*/}"; done
  for file in "$log"/displaced/*.text "$state"/displaced/*.text; do
    [ -r "$file" ] || continue
    printf '== displaced %s\n' "$file"
    cat "$file"
  done
  for place in pending undoing; do
    [ ! -d "$state/$place" ] || waiting "$place"
  done
  if [ -r "$state/last/changes" ] || [ -r "$log/owned" ] || [ -r "$log/runs" ]; then
    echo "== last"
    cat "$state/last/run" "$state/last/machines" "$state/last/changes" "$log/owned" "$log/runs"
  fi
  echo "== networkd"
  [ ! -d /run/systemd/netif/links ] ||
    grep -E '^(ADMIN_STATE|NETWORK_FILE)=' /dev/null /run/systemd/netif/links/*
  echo "== networkmanager"
  [ ! -d /run/NetworkManager/devices ] ||
    grep -x managed=true /dev/null /run/NetworkManager/devices/*
  echo "== ifupdown"
  lines /run/network/ifstate
  echo "== systemd"
  [ ! -d /run/systemd/system ] || echo yes
  # shellcheck disable=SC2086  # patterns
  for file in $files; do
    [ -r "$file" ] || continue
    printf '== file %s\n' "$file"
    tr -c '\n -~' '?' <"$file" | sed 's/^/|/'
  done
  echo "== answering"
  [ ! "$strangers" ] || strangers_answering
} 2>/dev/null
