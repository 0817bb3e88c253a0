"""The script that puts a machine's files in place, or takes them away, when a change is confirmed.

It is sent with the change, waits beside the undo, and is run in STATE by whoever confirms.
"""

import shlex

from .facts import LOG
from .persistence import Files

# put: stdin becomes a file that is there whole or not at all, even if the power fails.
# PATH MODE TARGET; with a target, a symbolic link to it.
_PUT = r"""umask 022
put() {
  new=${1%/*}/.pod-routes.new
  [ ! -d "$1" ] || { echo "$1 is a directory"; return 1; }
  mkdir -p "${1%/*}" && rm -f "$new" || return
  if [ "$3" ]; then ln -s "$3" "$new"; else
    cat >"$new" && chmod "$2" "$new" && { sync "$new" 2>/dev/null || sync; }
  fi && mv -f "$new" "$1" && { sync "${1%/*}" 2>/dev/null || sync; } || {
    rm -f "$new"
    return 1
  }
}
take() {
  rm -f "$1" "${1%/*}/.pod-routes.new" || return
  case $1 in *.network.d/*) rmdir "${1%/*}" 2>/dev/null || : ;; esac
}
keep_displaced() {
  for file in displaced/*; do
    [ ! -e "$file" ] || put "$log/$file" 600 "" <"$file" || return
  done
}
drop_displaced() { [ ! -d "$log/displaced" ] || rm -rf "$log/displaced"; }"""


def persist_script(files: Files) -> str:
    """The script for these files; it says why where it fails, with a status that is not 0."""
    lines = [
        f"printf '%s' {shlex.quote(f.text)} 2>/dev/null |"
        f" put {shlex.quote(f.path)} {f.mode} {shlex.quote(f.target)} || exit"
        for f in files.write
    ]
    lines += [f"take {shlex.quote(path)} || exit" for path in files.remove]
    lines.append("keep_displaced" if files.stay else "drop_displaced")
    return "\n".join([f"log={LOG}", _PUT, *lines])
