# Pings from the probe without a pause. Needs probe.sh.
#
# Values: target (empty: ping nothing, only be there), source (the probe's address), interval and
# longest (seconds between two pings, and until they end by themselves)

# pings: if the target answers, ping it until the input ends or a line comes that is not "on". Each
# line is answered with "== ready". Before that stands what ping(8) has said since the last line: a
# line for each ping without an answer and, at the end, how many got one. The probe stays for the
# pings of others until the input ends.
pings() {
  pid=
  if [ "$target" ] && ping -n -q -c 1 -W 1 -I "$source" "$target" >/dev/null 2>&1; then
    ping -n -O -i "$interval" -w "$longest" -I "$source" "$target" 2>/dev/null &
    pid=$!
  fi
  while printf '\n== ready\n'; read -r word && [ "$word" = on ]; do :; done
  # A ping that has only just begun ignores INT, as all that a script starts in the background.
  [ ! "$pid" ] || { kill -s INT "$pid"; sleep 0.1; kill -s TERM "$pid"; } 2>/dev/null
  wait
  while printf '\n== ready\n'; await; do :; done
}
