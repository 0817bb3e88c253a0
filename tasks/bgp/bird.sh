# A BIRD of this tool's own: its configuration, its process, and the routes that it adds. It shares
# nothing with a BIRD of the distribution (bird.service, /etc/bird, /run/bird).
#
# bird_run: the directory of what it runs with    bird_boot: of the copies that come back at boot
# bird_unit: the name of its systemd unit         bird_metric: the metric of its routes
# main_table: the number of the main table
# expected: a line "PREFIX NEXT_HOP" for each route that has to come by BGP

bird_control=$bird_run/bird.ctl

# ask_bird COMMAND...: have it do or show something. One that hangs is given up.
ask_bird() { timeout 5 birdc -s "$bird_control" "$@"; }

# bird_runs: whether it runs and answers.
bird_runs() { ask_bird show status >/dev/null 2>&1; }

# has_systemd: whether systemd runs this machine.
has_systemd() { [ -d /run/systemd/system ]; }

# keep_bird PLACE: keep its files in PLACE/bird, for bird_back.
keep_bird() {
  mkdir -p "$1/bird" || return
  for file in "$bird_run"/*.conf; do [ ! -e "$file" ] || cp -p "$file" "$1/bird/" || return; done
}

# put_file FILE: write stdin to a file that root and BIRD's group alone can read.
put_file() { cat >"$1.new" && chgrp bird "$1.new" && chmod 640 "$1.new" && mv "$1.new" "$1"; }

# bird_on CONF PASSWORD UNIT: write these texts, have BIRD check its configuration, and start it, or
# have it read the new one. An empty PASSWORD leaves the file as it is. Prints why it fails.
bird_on() {
  mkdir -p "$bird_run" && chown bird:bird "$bird_run" && chmod 755 "$bird_run" || return
  [ ! "$2" ] || printf '%s\n' "$2" | put_file "$bird_run/bgp-password.conf" || return
  printf '%s\n' "$1" | put_file "$bird_run/bird.conf" || return
  start_bird "$3"
}

# start_bird UNIT: start BIRD, or have it read its configuration. It keeps neither the lock nor the
# output of whoever starts it. A unit in /run does not come back at boot.
start_bird() {
  bird -p -c "$bird_run/bird.conf" || return
  if bird_runs; then
    ask_bird configure >/dev/null && configured
  elif has_systemd; then
    (umask 022 && printf '%s\n' "$1" >"/run/systemd/system/$bird_unit") && systemctl daemon-reload &&
      systemctl restart "$bird_unit" && started
  else
    end_hung
    bird -R -c "$bird_run/bird.conf" -s "$bird_control" -P "$bird_run/bird.pid" \
      -u bird -g bird </dev/null >/dev/null 2>&1 9>&- 3>&-
  fi
}

# end_hung: end a BIRD of this tool that does not answer.
end_hung() {
  read -r pid <"$bird_run/bird.pid" || return 0
  case "$(tr '\0' ' ' <"/proc/$pid/cmdline") " in
    *" -P bird.pid "* | *" -P $bird_run/bird.pid "*) kill -9 "$pid" ;;
  esac
} 2>/dev/null

# started: wait until BIRD answers. Prints what it says if it does not.
started() {
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    ! bird_runs || return 0
    sleep 0.2
  done
  journalctl -q -o cat -n 2 -u "$bird_unit" 2>/dev/null
  echo "BIRD does not start"
  return 1
}

# configured: wait until BIRD has ended the sessions that its new configuration changes.
configured() {
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    ask_bird show status | grep -q "^Reconfiguration in progress" || return 0
    sleep 0.2
  done
  echo "BIRD does not take its new configuration"
  return 1
}

# bird_routes FAMILY: print its routes in the main table, as `ip` shows them.
bird_routes() {
  ip "-$1" -N -oneline route show proto bird table "$main_table" |
    grep " metric $bird_metric\( \|\$\)"
}

# lacking: print those expected routes that are not there.
lacking() {
  there="
$(for family in 4 6; do bird_routes $family; done)"
  printf '%s\n' "$expected" | while read -r prefix via; do
    case $there in *"
$prefix via $via "*) ;; *) [ ! "$prefix" ] || printf '%s\n' "$prefix" ;; esac
  done
} 2>/dev/null

# bird_off: end it, and delete its routes and files. Its routes stay until they are deleted here,
# because it is told to leave them (`persist`). What comes back at boot stays. systemd alone would
# end it without a word to its neighbors, and would start it again if it were not stopped.
bird_off() {
  ! bird_runs || ask_bird down >/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    bird_runs || break
    sleep 0.1
  done
  if has_systemd; then systemctl stop "$bird_unit" 2>/dev/null; fi
  end_hung
  bird_runs && { echo "BIRD does not end"; return 1; }
  for family in 4 6; do
    bird_routes $family | sed "s/^/route del /; s/\$/ table $main_table/" | ip "-$family" -force -batch -
  done
  rm -rf "$bird_run" "/run/systemd/system/$bird_unit" || return
  ! has_systemd || systemctl daemon-reload
}

# bird_back PLACE UNIT: make it as it was when keep_bird kept its files.
bird_back() {
  if [ ! -e "$1/bird/bird.conf" ]; then bird_off; return; fi
  mkdir -p "$bird_run" && chown bird:bird "$bird_run" || return
  for file in bird.conf bgp-password.conf; do
    [ ! -e "$1/bird/$file" ] || put_file "$bird_run/$file" <"$1/bird/$file" || return
  done
  start_bird "$2"
}
