# Arms a change, carries it out when it is told to, and reverts it if a step fails.
#
# run: its ID     timeout: seconds from arming to the deadline
# patience: seconds to wait for the lock
# who, since, what, machines: a description of the run, for other users of this machine
# planned_on: the routes that the plan was made for
# changes: the record for `rollback --last`     repair: "yes" to leave the record as it is
# earlier: earlier runs of other machines
# keep_runs: how many recorded runs to keep, if the record is full
# missing: the records of our routes that stay missing
# keeps: a line "FAMILY PREFIX PROTOCOL FILE" for each group of routes to displace; PROTOCOL is a
#   number
# main_table: the number of the main table
# lines: for `ip -batch`
# last_lines: those that come last
# restores: a line "FAMILY FILE" for each group of displaced routes to put back
# gone_4, gone_6: a pattern for routes that `ip route restore` cannot put back as they were
# resolves: for `ip -batch`, to ask for the next hop of each prefix that gets a route
# undo, persist, watch: scripts to store with the change

changed=

# start_watch: start a watchdog that belongs to no login session, and wait until it has shown that
# it can do its work. Prints why not.
start_watch() {
  if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
    # A unit has a PATH of its own, which need not lead to the programs that this script finds.
    timeout 20 systemd-run --quiet --collect --unit="pod-routes-$run" --setenv="PATH=$PATH" \
      sh "$PWD/pending/watch" "$run" </dev/null 9>&- 3>&- ||
      { echo "systemd-run starts no watchdog"; return 1; }
  else
    # The watchdog would inherit that TERM is ignored, but TERM must be able to end it.
    (
      trap - TERM
      exec setsid sh "$PWD/pending/watch" "$run" </dev/null >/dev/null 2>&1 9>&- 3>&-
    ) &
  fi
  for nap in 0.02 0.03 0.05 0.1 0.1 0.2 0.2 0.3 0.5 0.5 1 1 2 4; do
    [ ! -s pending/pid ] || return 0
    [ ! -s pending/unfit ] ||
      { echo "the watchdog cannot do its work:"; cat pending/unfit; return 1; }
    sleep "$nap" || return
  done
  echo "the watchdog does not start"
  return 1
}

# arm: store the undo and the deadline, start the watchdog, and record the run.
arm() {
  [ ! -d pending.new ] || rm -rf pending.new
  mkdir pending.new && cd ./pending.new || return
  printf '%s\n' "$run" >run && printf '%s\n' "$who ${client:+from $client}" >./who &&
    printf '%s\n' "$what" >./what && printf '%s\n' "$since" >since &&
    printf '%s\n' "$machines" >machines && printf %s "$touched" >before &&
    readlink /proc/self/ns/net >network && printf '%s\n' "$self" >holder &&
    { [ "$repair" ] || printf '%s\n' "$changes" >changes; } &&
    printf '%s\n' "$undo" >undo && printf '%s\n' "$persist" >persist &&
    printf '%s\n' "$watch" >./watch && due_in "$timeout" >deadline || return
  cd .. && mv pending.new pending && start_watch || return
  [ "$repair" ] || note_run || :
}

# note_run: record the order of runs on this machine. A full disk must not stop a change, so the
# caller ignores a failure.
note_run() {
  [ -d "$log" ] || mkdir -p "$log"
  [ ! "$keep_runs" ] ||
    { tail -n "$keep_runs" "$log/runs" >"$log/runs.new" && mv "$log/runs.new" "$log/runs"; }
  printf '== run %s\n' "$run${earlier:+ $earlier}" >>"$log/runs"
} 2>/dev/null

# keep_route FAMILY PREFIX PROTOCOL FILE: record foreign routes before they are displaced: as text,
# and as bytes of the kernel for `ip route restore`. Fails if those bytes cannot bring them back.
keep_route() {
  ip "-$1" -N -details -oneline route show table all exact "$2" >"$4.text" || return
  if [ "$1" = 4 ]; then gone=$gone_4; else gone=$gone_6; fi
  if grep " table $main_table " <"$4.text" | grep -F " proto $3 " | grep -E "$gone"; then
    echo "cannot be put back as it was"
    return 1
  fi
  ip "-$1" route save table "$main_table" exact "$2" proto "$3" >"$4.save"
}

# same_links FILE: whether the interfaces of displaced routes still have the same numbers. The
# kernel's bytes name an interface by its number. Prints what to do if they do not.
same_links() {
  ip route showdump <"$1.save" | grep -o ' dev [^ ]*' | sort -u | while read -r _ dev; do
    grep -qF " dev $dev " "$1.text" || {
      printf '%s %s\n' \
        "the links have other numbers than when $1 was taken away: put that route back by hand" \
        "from $1.text, and remove the files $1.* in $PWD and $log/displaced"
      exit 1
    }
  done
}

# speak: change what exchanges routes. bgp/stages.sh redefines this and the next two.
speak() { :; }

# after_routes: do what comes after the last routes.
after_routes() { :; }

# stands: print the routes that the change waits for, and that have not come yet.
stands() { :; }

# last: run the lines that come once all machines have what they wait for.
last() {
  [ ! "$last_lines" ] || ip -batch - <<END || return
$last_lines
END
  after_routes
}

# go: record the routes to displace, run the lines, and put displaced routes back.
go() {
  cd ./displaced || return
  while read -r family prefix protocol file; do
    [ ! "$file" ] || keep_route "$family" "$prefix" "$protocol" "$file" || return
  done <<END
$keeps
END
  if [ "$lines" ]; then
    ip -batch - <<END || return
$lines
END
  fi
  while read -r family file; do
    [ ! "$file" ] || { same_links "$file" && ip "-$family" route restore <"$file.save"; } || return
  done <<END
$restores
END
}

# as_wanted: whether the next hops to the lifelines are as before; sets $words to the reason if not.
as_wanted() {
  words="ip does not show what came of it"
  look || return
  words="the way back to you, or to the gateway, was another one afterwards"
  [ "$ways" = "$ways_before" ]
}

# carry: change the routes, and print the routes and next hops that are there now. Reverts the
# change and prints why if a step fails. Changes nothing if the watchdog has ended.
carry() {
  watchdog pending/pid || {
    rm -rf pending
    printf '%s\n' "== undone" "the watchdog has ended: nothing was changed"
    return 1
  }
  ways_before=$ways
  stage go
}

# further FUNCTION: run it as a later stage of the change. Reverts the whole change and prints why if
# that fails.
further() {
  lock_it -w "$patience" || return
  { is_of pending "$run" && watchdog pending/pid; } || { no_longer_pending; return 1; }
  stage "$1"
}

# stage FUNCTION: run it, and print the routes and next hops that are there now. Reverts the change
# and prints why if it fails.
stage() {
  if words=$("$1" 2>&1) && as_wanted; then
    gets "$resolves"
    changed=yes
    printf '%s%s' "${missing:+$missing$nl}" "$owned" >pending/owned
    unlock  # before printing: a reader that hangs must not keep the lock from the watchdog
    printf '%s\n' "== done" "== route" "$touched== get" "$found"
    return
  fi
  if revert "failed"; then echo "== undone"; else echo "== broken"; fi
  printf '%s\n' "$words"
  return 1
}

# hear: obey the words on file descriptor 3, one on each line, until the change is kept or the
# input ends. A change that was not carried out by then is disarmed.
hear() {
  while echo; echo "== ready"; read -r word <&3; do
    case $word in
      go) carry || return ;;
      stands) stands ;;
      speak | last) further "$word" || return ;;
      push | commit) lock_it -w "$patience" && "$word"; [ ! "$changed" ] || unlock ;;
      keep) lock_it -w "$patience" && keep; return ;;
      *) break ;;
    esac
  done
  if [ ! "$changed" ] && mv pending pending.new; then
    watchdog pending.new/pid && end_watchdog
    rm -rf pending.new
  fi
}

# main: arm the change, then obey. Arms nothing if another change is pending, or if the routes are
# not those of the plan.
main() {
  read -r self _ </proc/self/stat
  enter -n || return
  recover
  if [ -d pending ] || [ -d undoing ]; then
    echo "== pending"; cat pending/who undoing/who 2>/dev/null; return
  fi
  look || { echo "== unarmed"; echo "ip does not show its routes"; return; }
  [ "$table" = "$planned_on" ] || { echo "== changed"; return; }
  words=$(arm 2>&1) || {
    rm -rf pending pending.new
    printf '%s\n' "== unarmed" "$words"
    return
  }
  hear
}
