# A BIRD of this tool's own: its configuration, its process, and the routes that it adds. It shares
# nothing with a BIRD of the distribution (bird.service, /etc/bird, /run/bird).
#
# bird_etc, bird_run: directories of its files and of its socket
# bird_unit: the name of its systemd unit     bird_metric: the metric of its routes
# main_table: the number of the main table
# expected: a line "PREFIX NEXT_HOP" for each route that has to come by BGP

bird_control=$bird_run/bird.ctl

# bird_runs: whether it runs and answers.
bird_runs() { birdc -s "$bird_control" show status >/dev/null 2>&1; }

# has_systemd: whether systemd runs this machine.
has_systemd() { [ -d /run/systemd/system ]; }

# keep_bird PLACE: keep its files in PLACE/bird, for bird_back.
keep_bird() {
  mkdir -p "$1/bird" || return
  for file in "$bird_etc/bird.conf" "$bird_etc/bgp-password.conf" \
    "/etc/systemd/system/$bird_unit"; do
    [ ! -e "$file" ] || cp -p "$file" "$1/bird/" || return
  done
}

# put_file MODE FILE: write stdin to a file that root and BIRD's group alone can read.
put_file() {
  cat >"$2.new" && chgrp bird "$2.new" && chmod "$1" "$2.new" && mv "$2.new" "$2"
}

# start_bird: have BIRD read its configuration, and start it if it does not run. It keeps neither the
# lock nor the output of whoever starts it.
start_bird() {
  if bird_runs; then
    birdc -s "$bird_control" configure
  elif has_systemd; then
    systemctl daemon-reload && systemctl start "$bird_unit"
  else
    mkdir -p "$bird_run" && chown bird:bird "$bird_run" &&
      bird -R -c "$bird_etc/bird.conf" -s "$bird_control" -P "$bird_run/bird.pid" \
        -u bird -g bird </dev/null >/dev/null 2>&1 9>&- 3>&-
  fi
}

# bird_on CONF PASSWORD UNIT: write these texts, have BIRD check its configuration, and start it.
# Prints why not.
bird_on() {
  mkdir -p "$bird_etc" && chmod 755 "$bird_etc" || return
  [ ! "$2" ] || printf 'password "%s";\n' "$2" | put_file 640 "$bird_etc/bgp-password.conf" ||
    return
  printf '%s\n' "$1" | put_file 640 "$bird_etc/bird.conf" || return
  bird -p -c "$bird_etc/bird.conf" || return
  ! has_systemd || printf '%s\n' "$3" >"/etc/systemd/system/$bird_unit" || return
  start_bird
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
# because it is told to leave them (`persist`).
bird_off() {
  if has_systemd && [ -e "/etc/systemd/system/$bird_unit" ]; then
    systemctl disable --now --quiet "$bird_unit"
    rm -f "/etc/systemd/system/$bird_unit" && systemctl daemon-reload
  elif bird_runs; then
    birdc -s "$bird_control" down >/dev/null
  fi
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    bird_runs || break
    sleep 0.2
  done
  bird_runs && { echo "BIRD does not end"; return 1; }
  for family in 4 6; do
    bird_routes $family | sed "s/^/route del /; s/\$/ table $main_table/" | ip "-$family" -force -batch -
  done
  rm -rf "$bird_run" "$bird_etc/bird.conf" "$bird_etc/bgp-password.conf"
  rmdir "$bird_etc" 2>/dev/null || :
}

# bird_back PLACE: make it as it was when keep_bird kept its files.
bird_back() {
  if [ ! -e "$1/bird/bird.conf" ]; then bird_off; return; fi
  mkdir -p "$bird_etc" || return
  for file in "$1"/bird/*.conf; do cp -p "$file" "$bird_etc/" || return; done
  [ ! -e "$1/bird/$bird_unit" ] || cp -p "$1/bird/$bird_unit" /etc/systemd/system/ || return
  start_bird >/dev/null
}
