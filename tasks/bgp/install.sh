# Installs BIRD by apt or dnf. The service of the package is masked first: it would run its sample
# configuration at once. The mask stays, and so does the package after a rollback.
#
# limit: seconds that one command of a package manager may take

service=/etc/systemd/system/bird.service

# mask: mask the service of the package; without systemd too, because a package writes its unit all
# the same. What is there already stays. Sets $masked to what unmask has to remove.
mask() {
  masked=
  [ -e "$service" ] || [ -L "$service" ] || {
    mkdir -p "${service%/*}" && ln -s /dev/null "$service" || return
    masked=$service
  }
  reload
}

# unmask: take the mask away that mask has made.
unmask() { [ ! "$masked" ] || rm -f "$masked" && reload; }

# reload: have systemd read its units again.
reload() { [ ! -d /run/systemd/system ] || systemctl daemon-reload; }

# in_time COMMAND...: run a command for at most $limit seconds. If it takes longer, this is the end
# of the installation.
in_time() {
  timeout "$limit" "$@" && return
  [ $? != 124 ] || { printf '%s did not end within %s s\n' "$1" "$limit"; exit 1; }
  return 1
}

# apt ARGUMENT...: run apt-get. It asks nothing, waits for another one, and restarts no service.
apt() {
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  in_time apt-get -q -y -o DPkg::Lock::Timeout=60 "$@"
}

# install: install it; prints what the package manager says.
install() {
  if command -v apt-get >/dev/null; then
    apt install --no-install-recommends bird2 ||
      { apt update && apt install --no-install-recommends bird2; }
  elif command -v dnf >/dev/null; then
    in_time dnf install -q -y bird
  else
    echo "there is neither apt-get nor dnf: install BIRD 2 by hand"
  fi
}

# main: install it, and say whether it is there now. If it is not, the mask goes.
main() {
  mask && words=$(install </dev/null 2>&1)
  if bird --version >/dev/null 2>&1; then
    echo "== installed"
  else
    unmask
    echo "== failed"
    errors=$(printf '%s\n' "$words" | grep '^E: ')
    printf '%s\n' "${errors:-$words}" | tail -n 2
  fi
}
