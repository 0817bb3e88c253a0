# Reads the routes of a machine, before and after a change.
#
# prefixes: the prefixes of the change as ip prints them, one on each line
# The next ones are lines for `ip -batch`:
# routes_4, routes_6: show the routes inside pod_networks; before a change, also our routes
# outside_4, outside_6: show the routes at prefixes outside pod_networks
# lifelines: get the routes to the operator and to the gateways
#
# bgp_protocol, bgp_metric: numbers of the routes of this tool's BIRD, which come and go by themselves
# volatile: a sed script that deletes the words of a route that change by themselves

# shown LINES OPTION...: set $text to what ip prints for these lines, with numbers for names as in
# Facts.snapshot; returns the status of ip.
shown() {
  asked=$1 text=
  shift
  [ "$asked" ] || return 0
  text=$(printf '%s\n' "$asked" | ip "$@" -N -details -oneline -batch -)
  status=$?
  case $text in
    *" expires "* | *" linkdown"* | *" dead"*) text=$(printf '%s\n' "$text" | sed "$volatile") ;;
  esac
  text=${text:+$text$nl}
  return $status
}

# at LINES: set $found to those lines that are routes at $prefixes. To ask ip for each prefix would
# be slow: the kernel goes through its whole table each time.
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

# sort_out LINES: set $inside to the routes inside pod_networks, and $ours to our routes. In the
# lines of the latter, ip omits the protocol that it was asked for. Leaves out those of BIRD.
sort_out() {
  inside='' ours=''
  set -f
  IFS=$nl
  for line in $1; do
    case "$line " in
      *" proto $bgp_protocol "*" metric $bgp_metric "*) ;;
      *" proto "*) inside=$inside$line$nl ;;
      *) ours=$ours$line$nl ;;
    esac
  done
  unset IFS
  set +f
}

# around FAMILY ROUTES OUTSIDE: set $inside and $ours, and add the routes at $prefixes to $touched.
around() {
  shown "$2" "-$1" || return
  sort_out "$text"
  shown "$3" "-$1" || return
  at "$inside$text"
  touched=$touched$found
}

# touched: print the routes at the prefixes of the change. If ip fails, print "failed": an empty
# output means that there are no routes.
touched() {
  touched=
  { around 4 "$routes_4" "$outside_4" && around 6 "$routes_6" "$outside_6"; } 2>/dev/null ||
    { echo failed; return; }
  printf %s "$touched"
}

# look_at FAMILY ROUTES OUTSIDE: do what `look` does, for one family.
look_at() {
  [ "$2$3" ] || return 0
  around "$@" || return
  table=$table$inside$ours
  owned="$owned== kept $1$nl$ours"
}

# look: read the routes; fails if ip fails. Sets
#   table    all routes that this tool may touch, in the form of Facts.snapshot
#   owned    our routes, in the form of the record
#   touched  the routes at the prefixes of the change
#   ways     the routes to the lifelines
look() {
  table='' owned='' touched=''
  look_at 4 "$routes_4" "$outside_4" && look_at 6 "$routes_6" "$outside_6" || return
  gets "$lifelines"
  ways=$found
} 2>/dev/null

# gets LINES: set $found to the answers to these `route get` lines; none for an address without a
# route.
gets() {
  shown "$1" -force || :
  found=
  set -f
  IFS=$nl
  for line in $text; do found=$found${line%% cache*}$nl; done
  unset IFS
  set +f
}
