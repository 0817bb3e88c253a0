#!/bin/sh
# Build the file systems of workers of Debian releases: `build.sh DIRECTORY RELEASE...`, as root.
#
# For each of these releases that the package mirror of this machine's apt has,
# DIRECTORY/RELEASE/base gets what debootstrap(8) makes, with python3 and make: what a person has
# who runs `make demo`. DIRECTORY/RELEASE/worker is a layer over it, with what workers have. Both
# stay until somebody deletes them, and a file `built` beside them says that they are whole.
set -eu
PATH=$PATH:/usr/sbin:/sbin
export PATH LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

directory=$1
shift
workers='systemd systemd-sysv udev dbus openssh-server iproute2 iputils-ping iptables nftables sudo
procps util-linux ifupdown netplan.io network-manager'
# A package that only some releases have: in the others, systemd itself holds the same.
if_there=systemd-networkd

# The first mirror of Debian itself that apt's sources name.
mirror() {
    # shellcheck disable=SC2016  # apt's own variable
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' \
        'Label: Debian' | head -n 1
}

# Whether the mirror has a release: `has MIRROR RELEASE`.
has() {
    /usr/lib/apt/apt-helper download-file "${1%/}/dists/$2/InRelease" "$directory/$2.InRelease" \
        >/dev/null 2>&1
}

# The part of debootstrap: `base MIRROR RELEASE`.
base() {
    # All releases from here on are built as sid is; this debootstrap may be older than they are.
    debootstrap --variant=minbase --include=python3,make "$2" "$directory/$2/base" "$1" \
        /usr/share/debootstrap/scripts/sid
}

# The layer of a worker: `worker RELEASE`. Its mounts end with the process that runs it.
worker() {
    home=$directory/$1
    mkdir -p "$home/worker" "$home/work" "$home/root"
    mount -t overlay none -o "lowerdir=$home/base,upperdir=$home/worker,workdir=$home/work" \
        "$home/root"
    mount -t proc none "$home/root/proc"
    mount --rbind /dev "$home/root/dev"
    mount -t tmpfs none "$home/root/run"
    cat /etc/resolv.conf >"$home/root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$home/root/usr/sbin/policy-rc.d" # nothing is started
    chmod 755 "$home/root/usr/sbin/policy-rc.d"
    found=$(chroot "$home/root" apt-cache pkgnames)
    if printf '%s\n' "$found" | grep -qx "$if_there"; then workers="$workers $if_there"; fi
    # shellcheck disable=SC2086  # a list of packages
    chroot "$home/root" apt-get install -q -y --no-install-recommends $workers </dev/null
    chroot "$home/root" apt-get clean
    chroot "$home/root" useradd --create-home --password '*' --shell /bin/sh admin
    echo 'admin ALL=(ALL) NOPASSWD: ALL' >"$home/root/etc/sudoers.d/admin"
    rm "$home/root/usr/sbin/policy-rc.d"
}

if [ "$1" = --worker ]; then # this script again, in a mount namespace of its own
    worker "$2"
    exit
fi
mkdir -p "$directory"
mirror=$(mirror)
if [ -z "$mirror" ]; then
    echo "releases: no mirror of Debian is in the apt sources of this machine" >&2
    exit 1
fi
for release; do
    [ ! -e "$directory/$release/built" ] || continue
    if ! has "$mirror" "$release"; then
        echo "releases: the package mirror has no $release"
        continue
    fi
    echo "releases: building $release"
    rm -rf "${directory:?}/$release"
    mkdir -p "$directory/$release"
    {
        base "$mirror" "$release"
        unshare --mount "$0" "$directory" --worker "$release"
    } >"$directory/$release/log" 2>&1 || {
        tail -n 5 "$directory/$release/log" >&2
        echo "releases: $release is not built; more in $directory/$release/log" >&2
        exit 1
    }
    rm -rf "$directory/$release/work" "$directory/$release/root" "$directory/$release.InRelease"
    touch "$directory/$release/built"
done
