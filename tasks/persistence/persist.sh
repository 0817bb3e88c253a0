# Writes and removes a machine's boot files when a change is confirmed. The script is stored beside
# the undo script, and the confirmation runs it in $state. If it fails, it prints the reason and
# exits with a status other than 0.
#
# log: this tool's directory on disk

umask 022

# put PATH MODE TARGET: write stdin to a file atomically, even if the power fails. With a target,
# make a symbolic link to it instead.
put() {
  new=${1%/*}/.pod-routes.new
  [ ! -d "$1" ] || { printf '%s is a directory\n' "$1"; return 1; }
  mkdir -p "${1%/*}" && rm -f "$new" || return
  made "$2" "$3" && mv -f "$new" "$1" && { sync "${1%/*}" 2>/dev/null || sync; } && return
  rm -f "$new"
  return 1
}

# made MODE TARGET: write stdin to the file $new, or make the symbolic link $new to a target.
made() {
  if [ "$2" ]; then ln -s "$2" "$new"; return; fi
  cat >"$new" && chmod "$1" "$new" && { sync "$new" 2>/dev/null || sync; }
}

# take PATH: remove a file, and the directory that was made for it if it is then empty.
take() {
  rm -f "$1" "${1%/*}/.pod-routes.new" || return
  case $1 in *.network.d/* | *.device.wants/*) rmdir "${1%/*}" 2>/dev/null || : ;; esac
}

# keep_displaced: copy the records of displaced routes to disk.
keep_displaced() {
  for file in displaced/*; do
    [ ! -e "$file" ] || put "$log/$file" 600 "" <"$file" || return
  done
}
