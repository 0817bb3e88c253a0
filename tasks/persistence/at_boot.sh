# Adds the routes that are missing: systemd runs this file as pod-routes.service. If one is still
# missing, it prints why and fails, and systemd runs it again: a link or its address may come late.
#
# state: this tool's directory in /run     routes: lines for `ip -batch`

PATH=/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL=C

# at_rest: take the lock of the changes on this machine, and note who holds it. Fails if a change is
# being carried out or waits for its confirmation: no route may come back meanwhile.
at_rest() {
  [ -d "$state" ] || return 0
  exec 9>>"$state/lock"
  flock -n 9 && [ ! -d "$state/pending" ] && [ ! -d "$state/undoing" ] || return
  printf 'pod-routes.service\n' >"$state/lock" || :
}

# ways: print the prefix and the next hop of each route, as `ip route show` begins its line.
ways() {
  while read -r line; do
    line=${line#route add }
    printf '%s\n' "${line%% proto *} "
  done <<END
$routes
END
}

# missing: print the lines of those routes that the kernel does not have to that next hop. The shell
# would be slow with all routes of a machine that has hundreds of thousands.
missing() {
  ways=$(ways)
  there="
$({ ip -4 -oneline route show && ip -6 -oneline route show; } | grep -F -f /proc/self/fd/8 8<<END
$ways
END
)"
  while read -r line; do
    way=${line#route add }
    case $there in *"
${way%% proto *} "*) ;; *) printf '%s\n' "$line" ;; esac
  done <<END
$routes
END
}

# main: add what is missing, and look again.
main() {
  at_rest || { echo "a change of the routes has not ended"; return 1; }
  lines=$(missing)
  [ "$lines" ] || return 0
  why=$(printf '%s\n' "$lines" | ip -force -batch - 2>&1 | sed -n 1p)
  lines=$(missing)
  [ "$lines" ] || return 0
  printf 'missing routes: %s, such as %s: %s\n' "$(printf '%s\n' "$lines" | grep -c '')" \
    "$(printf '%s\n' "$lines" | sed -n '1s/^route add //p')" "$why"
  return 1
}

main
