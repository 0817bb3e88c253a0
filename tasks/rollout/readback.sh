# What routes a machine has, before a change and after it.
#
# prefixes: those of the change as ip shows them, a line each
# inside_4, inside_6: what to ask `ip -batch` for all inside pod_networks
# ours_4, ours_6: for all that is ours     outside_4, outside_6: for prefixes elsewhere
# passing: what sed takes away of a line, because it changes by itself
# lifelines: what to ask for the ways to the operator and the gateways

# shown LINES OPTION...: set $text to what ip shows for these lines.
shown() {
  asked=$1 text=
  shift
  [ "$asked" ] || return 0
  text=$(ip "$@" -details -oneline -batch - <<END
$asked
END
  )
  status=$?
  case $text in
    *" expires "* | *" linkdown"* | *" dead"*) text=$(printf '%s\n' "$text" | sed "$passing") ;;
  esac
  text=${text:+$text$nl}
  return $status
}

# at LINES: set $found to those about one of $prefixes. To ask ip for each of them would have the
# kernel go through its whole table each time.
at() {
  found=
  set -f
  IFS=$nl
  for line in $1; do
    prefix=${line#* }
    case $nl$prefixes$nl in *"$nl${prefix%% *}$nl"*) found=$found$line$nl ;; esac
  done
  unset IFS
  set +f
}

# around FAMILY INSIDE OUTSIDE: set $inside, and add to $touched what stands at the prefixes.
around() {
  shown "$2" "-$1" || return
  inside=$text
  shown "$3" "-$1" || return
  at "$inside$text"
  touched=$touched$found
}

# touched: print what stands at the prefixes of the change; never nothing where ip fails.
touched() {
  touched=
  { around 4 "$inside_4" "$outside_4" && around 6 "$inside_6" "$outside_6"; } 2>/dev/null ||
    { echo failed; return; }
  printf %s "$touched"
}

# look_at FAMILY INSIDE OURS OUTSIDE
look_at() {
  [ "$2$4" ] || return 0
  around "$1" "$2" "$4" && shown "$3" "-$1" || return
  table=$table$inside$text
  owned="$owned== kept $1$nl$text"
}

# look: what there is; it fails where ip does not show all of it. Sets
#   table    all routes that this tool may touch, as Facts.snapshot has them
#   owned    ours among them, as they are recorded
#   touched  those at the prefixes of the change
#   ways     how the lifelines are reached
look() {
  table='' owned='' touched=''
  look_at 4 "$inside_4" "$ours_4" "$outside_4" || return
  look_at 6 "$inside_6" "$ours_6" "$outside_6" || return
  ways=$(gets "$lifelines")
} 2>/dev/null

# gets LINES: where packets go, by `ip route get`; what has no route says nothing.
gets() {
  shown "$1" -force || :
  printf '%s\n' "$text" | while IFS= read -r line; do
    [ ! "$line" ] || printf '%s\n' "${line%% cache*}"
  done
}
