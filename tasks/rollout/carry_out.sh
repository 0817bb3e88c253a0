# A change: armed, carried out when it is told to, and taken back unless it is confirmed.
#
# run: its id     timeout: seconds until it takes itself back     patience: for another run's lock
# who, since, what, machines: for those who find it here
# planned_on: the table that the plan was made on
# changes: what `rollback --last` is to know; repair: "yes" where it is to know the run before
# earlier: runs of other machines that came before     keep_runs: how many, where its note is full
# missing: records of our routes that were missing before, and stay so
# keeps: a line "FAMILY PREFIX PROTOCOL FILE" for what is displaced
# lines: for `ip -batch`     restores: a line "FAMILY FILE" for what comes back
# gone_4, gone_6: words of a route that `ip route restore` would not bring back as it was
# resolves: what to ask for the way to each prefix that gets a route
# undo, persist, watch: scripts that wait beside the change

changed=

# start_watch: have a watchdog that no login session owns, and that has begun.
start_watch() {
  if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
    systemd-run --quiet --collect --unit="pod-routes-$run" sh "$PWD/pending/watch" "$run" \
      </dev/null 9>&- 3>&- || return
    tries=0
    until [ -s pending/pid ]; do
      tries=$((tries + 1))
      [ $tries -lt 200 ] || { echo "the watchdog does not start"; return 1; }
      sleep 0.02
    done
    return
  fi
  # A signal that is ignored here would be so there, and TERM is to end it.
  begun=$(trap - TERM; setsid sh "$PWD/pending/watch" "$run" </dev/null 2>/dev/null 9>&- 3>&- &)
  [ "$begun" = watching ] || { echo "the watchdog does not start"; return 1; }
}

# arm: write down how to go back, and have it watched.
arm() {
  [ ! -d pending.new ] || rm -rf pending.new
  mkdir pending.new && cd ./pending.new || return
  printf '%s\n' "$run" >run && printf '%s\n' "$who ${client:+from $client}" >./who &&
    printf '%s\n' "$what" >./what && printf '%s\n' "$since" >since &&
    printf '%s\n' "$machines" >machines && printf %s "$touched" >before &&
    printf '%s\n' "$self" >holder && { [ "$repair" ] || printf '%s\n' "$changes" >changes; } &&
    printf '%s\n' "$undo" >undo && printf '%s\n' "$persist" >persist &&
    printf '%s\n' "$watch" >./watch && due_in "$timeout" >deadline || return
  cd .. && mv pending.new pending && start_watch || return
  [ "$repair" ] || note_run || :
}

# note_run: note the run after those armed here before. A disk that is full stops no change.
note_run() {
  [ -d "$log" ] || mkdir -p "$log"
  [ ! "$keep_runs" ] ||
    { tail -n "$keep_runs" "$log/runs" >"$log/runs.new" && mv "$log/runs.new" "$log/runs"; }
  printf '== run %s\n' "$run${earlier:+ $earlier}" >>"$log/runs"
} 2>/dev/null

# keep_route FAMILY PREFIX PROTOCOL FILE: keep foreign routes before they are taken away, as text
# and as the kernel's bytes, where those bring them back as they were.
keep_route() {
  ip "-$1" -details -oneline route show table all exact "$2" >"$4.text" || return
  if [ "$1" = 4 ]; then gone=$gone_4; else gone=$gone_6; fi
  if grep " table main " <"$4.text" | grep -F " proto $3 " | grep -E "$gone"; then
    echo "cannot be put back as it was"
    return 1
  fi
  ip "-$1" route save table main exact "$2" proto "$3" >"$4.save"
}

# same_links FILE: whether the links of a displaced route have the numbers that they had.
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

# go: carry the lines out, between keeping what they displace and putting back what was displaced.
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

# as_wanted: whether the machine is reached as before; sets $words where it is not, or cannot say.
as_wanted() {
  words="ip does not show what came of it"
  look || return
  words="the way back to you, or to the gateway, was another one afterwards"
  [ "$ways" = "$ways_before" ]
}

# carry: change the routes, read them back, and say where packets go now; or take all of it back.
carry() {
  ways_before=$ways
  if words=$(go 2>&1) && as_wanted; then
    resolved=$(gets "$resolves")
    changed=yes
    printf '%s%s' "${missing:+$missing$nl}" "$owned" >pending/owned
    unlock  # who does not read the answer must not keep the watchdog waiting
    printf '%s\n' "== done" "== route" "$touched== get" "$resolved"
    return
  fi
  if revert "failed"; then echo "== undone"; else echo "== broken"; fi
  printf '%s\n' "$words"
  return 1
}

# hear: do what is said on descriptor 3, a word a line, until the change is kept or nobody speaks.
hear() {
  while echo; echo "== ready"; read -r word <&3; do
    case $word in
      go) carry || return ;;
      push) lock_it -w "$patience" && push; [ ! "$changed" ] || unlock ;;
      keep) lock_it -w "$patience" && keep; return ;;
      *) break ;;
    esac
  done
  if [ ! "$changed" ] && mv pending pending.new; then
    watchdog pending.new/pid && end_watchdog
    rm -rf pending.new
  fi
}

# main: arm the change, if the machine is as planned and no other waits; then hear what to do.
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
