# The undo of a change: `sh PLACE/undo WHY`, where PLACE is the directory of the change. It can be
# repeated: ip goes on after a line that fails, and the routes at the prefixes of the change then
# show whether the undo worked.
#
# state: our directory in /run     lines: for `ip -batch`
# kept: a line "FAMILY FILE" for each group of displaced routes

export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
cd "$state" || exit
place=${0%/undo}

# put_back: put the displaced routes back.
put_back() {
  while read -r family file; do
    [ ! -s "displaced/$file.save" ] || ip "-$family" route restore <"displaced/$file.save"
  done <<END
$kept
END
}

# discard_records: delete the records of the displaced routes.
discard_records() {
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
  discard_records
else
  why=$1
  set -f
  # shellcheck disable=SC2086  # splitting joins the lines of $told into one
  set -- $told
  record "$place" "NOT undone: $why${1:+: $*}"
  exit 1
fi
