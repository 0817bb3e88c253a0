# The undo of a change: `sh PLACE/undo WHY` in $state, by whoever has renamed it to `undoing`. It can
# be repeated: its lines are forced, and what stands at the prefixes says whether it has worked.
#
# lines: for `ip -batch`     kept: a line "FAMILY FILE" for what was displaced

export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
cd "$state" || exit
place=${0%/undo}

# put_back: restore what was displaced.
put_back() {
  while read -r family file; do
    [ ! -s "displaced/$file.save" ] || ip "-$family" route restore <"displaced/$file.save"
  done <<END
$kept
END
}

# forget: remove the records of what was displaced.
forget() {
  while read -r _ file; do
    [ ! "$file" ] || rm -f "displaced/$file.text" "displaced/$file.save"
  done <<END
$kept
END
}

before=$(cat "$place/before")
[ "$(touched)" = "$before" ] || {
  ip -force -batch - <<END
$lines
END
  told=$(put_back 2>&1)
}
if [ "$(touched)" = "$before" ]; then
  record "$place" "undone: $1"
  rm -rf "$place"
  forget
else
  why=$1
  set -f
  # shellcheck disable=SC2086  # on one line
  set -- $told
  record "$place" "NOT undone: $why${1:+: $*}"
  exit 1
fi
