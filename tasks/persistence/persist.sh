# Puts a machine's files in place when a change is confirmed. The script waits beside the undo;
# whoever confirms runs it in $state. Where it fails it says why, with a status that is not 0.
#
# log: our directory on disk

umask 022

# put PATH MODE TARGET: stdin becomes a file that is there whole or not at all, even if the power
# fails. With a target, a symbolic link to it.
put() {
  new=${1%/*}/.pod-routes.new
  [ ! -d "$1" ] || { printf '%s is a directory\n' "$1"; return 1; }
  mkdir -p "${1%/*}" && rm -f "$new" || return
  made "$2" "$3" && mv -f "$new" "$1" && { sync "${1%/*}" 2>/dev/null || sync; } && return
  rm -f "$new"
  return 1
}

# made MODE TARGET: make the file or link at $new.
made() {
  if [ "$2" ]; then ln -s "$2" "$new"; return; fi
  cat >"$new" && chmod "$1" "$new" && { sync "$new" 2>/dev/null || sync; }
}

# take PATH: remove a file; a drop-in's directory too, if it is empty then.
take() {
  rm -f "$1" "${1%/*}/.pod-routes.new" || return
  case $1 in *.network.d/*) rmdir "${1%/*}" 2>/dev/null || : ;; esac
}

# keep_displaced: copy the records of displaced routes to disk.
keep_displaced() {
  for file in displaced/*; do
    [ ! -e "$file" ] || put "$log/$file" 600 "" <"$file" || return
  done
}
