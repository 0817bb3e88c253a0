# The facts of a machine, in sections that begin with a line "== name detail".
# Only `settle` changes the machine: it reverts a change whose deadline has passed.
#
# pings: "yes" if the machine is to ping
# state, log: directories of this tool
# files: patterns of this tool's files that restore routes
# own: this tool's routing protocol number
# known: next hops of the cluster, a line each
# ping_unknown: "yes" to ping all other next hops
# ours_4, ours_6: lines for `ip -batch` that show the routes which this tool may touch; empty for
#   an IP version without pods

# unknown_answering: print the next hops of owned routes that no machine has and that answer a
# ping.
unknown_answering() {
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

# lacks PROGRAM WHAT COMMAND...: print the program's name if it is missing, and which one is needed if
# the command shows that this one is another.
lacks() {
  program=$1 what=$2
  shift 2
  command -v "$program" >/dev/null || { printf '%s\n' "$program"; return; }
  "$@" >/dev/null || printf '%s %s\n' "$program" "$what"
}

# waits: have flock do what only util-linux's does.
waits() { flock -w 1 -u 9; } 9</

# pinged ADDRESS: ping this machine as other machines are pinged, and look for the answer's form. A
# machine that does not answer, or lacks this IP version, may well have the right ping.
pinged() {
  case $(ping -n -q -c 1 -i 0.2 -W 1 -M "do" -s 64 -t 2 -O -I "$1" "$1" 2>&1) in
    *"1 packets transmitted, "[01]" received,"*) ;;
    *nreachable* | *"assign requested address"* | *"supported by protocol"*) ;;
    *) return 1 ;;
  esac
}

# lines FILE: print its lines. The shell does it by itself, because starting a program takes a
# millisecond.
lines() { while IFS= read -r line || [ "$line" ]; do printf '%s\n' "$line"; done <"$1"; }

# behind_bars FILE: print its lines, each after a "|", so that no line can begin a section.
behind_bars() { while IFS= read -r line || [ "$line" ]; do printf '|%s\n' "$line"; done <"$1"; }

# show HEAD ARGUMENT...: print a section with the output of `ip` for these arguments. An `ip` that
# fails is reported as missing. It prints numbers (-N, since iproute2 5.2), because a machine may
# name them as it likes.
show() {
  printf '== %s\n' "$1"
  shift
  ip -N -details -oneline "$@" || printf '== missing\nip of iproute2 5.2 or newer\n'
}

# show_family FAMILY LINES: print the policy rules of an IP version, and the routes that these lines
# for `ip -batch` show.
show_family() {
  show "rule $1" "-$1" rule show
  show "ours $1" "-$1" -batch - <<END
$2
END
}

# waiting PLACE: print the pending change in a directory, and the seconds left until its deadline.
waiting() {
  echo "== pending"
  read -r up _ </proc/uptime
  read_deadline "$state/$1"
  printf '%s %s\n' "$1" $((deadline - ${up%.*}))
  (cd "$state/$1" && cat run since who what machines)
}

# brought_up: print the links that ifupdown, ifupdown-ng or BusyBox brought up, each from its own
# file; none where ifupdown-ng is told to run no scripts (ifupdown-ng.conf(5)).
brought_up() {
  conf=/etc/network/ifupdown-ng.conf
  [ -r $conf ] && grep -q '^[[:blank:]]*allow_addon_scripts[[:blank:]=]*[0NnFf]' $conf && return
  for file in /run/network/ifstate /run/ifstate /var/run/ifstate /etc/network/run/ifstate; do
    lines "$file"
  done
}

# main: print all sections.
main() {
  nl='
'
  settle
  echo "== missing"
  command -v ip >/dev/null || echo ip # `show` finds out whether it is another than is needed
  lacks flock "of util-linux" waits
  [ ! "$pings" ] || lacks ping "with the options -I, -M and -O" pinged 127.0.0.1
  [ ! "$pings" ] || [ ! "$ours_6" ] || lacks ping "that takes IPv6 addresses" pinged ::1
  echo "== client"
  printf '%s\n' "$SSH_CONNECTION"
  # A kernel without IPv6 answers a query for IPv6 routes with those of IPv4; "root" filters them.
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
  for file in /etc/cni/net.d/*.conf /etc/cni/net.d/*.conflist /etc/cni/net.d/*.json \
    /etc/cni/net.d/.*.conf /etc/cni/net.d/.*.conflist /etc/cni/net.d/.*.json; do
    [ -f "$file" ] || continue
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
  brought_up
  echo "== systemd"
  [ ! -d /run/systemd/system ] || echo yes
  # shellcheck disable=SC2086  # patterns
  for file in $files; do
    [ -r "$file" ] || continue
    printf '== file %s\n' "$file"
    tr -c '\n -~' '?' <"$file" | sed 's/^/|/'
  done
  bird_facts
  echo "== answering"
  [ ! "$ping_unknown" ] || unknown_answering
} 2>/dev/null
