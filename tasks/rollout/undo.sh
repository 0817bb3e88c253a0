# The undo of a change: `sh PLACE/undo WHY`, where PLACE is the directory of the change. It can be
# repeated: ip goes on after a line that fails, and the routes at the prefixes of the change then
# show whether the undo worked.
# `sh PLACE/undo`, before the change, only shows whether the undo can do its work where it is
# started: it changes nothing, and prints why not.
# It needs no place to write: bash would write here-documents to /tmp, which may be full.
#
# state: our directory in /run     lines: for `ip -batch`
# kept: a line "FAMILY FILE" for each group of displaced routes

export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
cd "$state" || exit
place=${0%/undo}

# put_back: put the displaced routes back.
put_back() {
  printf '%s\n' "$kept" | while read -r family file; do
    [ ! -s "displaced/$file.save" ] || ip "-$family" route restore <"displaced/$file.save"
  done
}

# discard_records: delete the records of the displaced routes.
discard_records() {
  printf '%s\n' "$kept" | while read -r _ file; do
    [ ! "$file" ] || rm -f "displaced/$file.text" "displaced/$file.save"
  done
}

# is_fit: whether ip may change routes here, and these are the routes of the network that is about to
# change. The route that it asks to delete is in a table that nobody has.
is_fit() {
  told=$(ip route del unreachable 192.0.2.0/32 table 4294967214 2>&1)
  case $?:$told in
    12[67]:* | *ermi*) printf '%s\n' "$told"; return 1 ;;
  esac
  read -r network <"$place/network"
  [ "$(readlink /proc/self/ns/net)" = "$network" ] ||
    { echo "it runs in another network namespace"; return 1; }
  [ "$(touched)" = "$before" ] || { echo "it does not see the same routes"; return 1; }
}

before=$(cat "$place/before") || exit
if [ $# = 0 ]; then is_fit; exit; fi
[ ! -e "$place/committing" ] || leave_needed >/dev/null 2>&1
{ is_as_before && [ "$(touched)" = "$before" ]; } || {
  back_before_routes >/dev/null 2>&1
  printf '%s\n' "$lines" | ip -force -batch -
  told=$(put_back 2>&1)
}
if is_as_before && [ "$(touched)" = "$before" ]; then
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
