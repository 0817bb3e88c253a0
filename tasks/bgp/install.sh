# Installs BIRD by apt or dnf. The service of the package is masked first: it would run its sample
# configuration at once. The mask stays, and so does the package after a rollback.

# mask: mask the service of the package; without systemd too, because a package writes its unit all
# the same.
mask() {
  unit=/etc/systemd/system/bird.service
  [ -e "$unit" ] || [ -L "$unit" ] || { mkdir -p "${unit%/*}" && ln -s /dev/null "$unit"; } || return
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

# install: install it; prints what the package manager says.
install() {
  if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 apt-get install -q -y --no-install-recommends bird2 ||
      { timeout 300 apt-get update -q && timeout 300 apt-get install -q -y --no-install-recommends bird2; }
  elif command -v dnf >/dev/null; then
    timeout 600 dnf install -q -y bird
  else
    echo "there is neither apt-get nor dnf: install BIRD 2 by hand"
    return 1
  fi
}

# main: install it, and say whether it is there now.
main() {
  words=$(mask 2>&1 && install </dev/null 2>&1)
  if bird --version >/dev/null 2>&1; then
    echo "== installed"
  else
    echo "== failed"
    printf '%s\n' "$words" | tail -n 2
  fi
}
