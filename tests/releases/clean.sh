#!/bin/sh
# Run a command in the project on a clean release: `clean.sh HOME BASE COMMAND...`, as root.
#
# HOME is a directory for what changes, BASE the root that `build.sh` made: what a person has who
# has just installed Debian, python3 and make. The project is what git knows of it, in /root/a copy.
# The mirrors of apt and pip are reached as this computer reaches them.
set -eu
if [ "$1" != --inside ]; then
    exec unshare --mount --pid --uts --fork --kill-child "$0" --inside "$@"
fi
home=$2
base=$3
shift 3
mkdir -p "$home/root" "$home/upper" "$home/work"
mount -t overlay none -o "lowerdir=$base,upperdir=$home/upper,workdir=$home/work" "$home/root"
copy="$home/root/root/a copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --create --file=- |
    tar --extract --no-same-owner --file=- --directory="$copy"
cat /etc/resolv.conf >"$home/root/etc/resolv.conf"
[ ! -e /etc/pip.conf ] || cat /etc/pip.conf >"$home/root/etc/pip.conf"
echo 'Acquire::Check-Valid-Until "false";' >"$home/root/etc/apt/apt.conf.d/mirror" # it may lag
cat /etc/ssl/certs/ca-certificates.crt >"$home/root/root/mirrors.crt"
mount -t proc none "$home/root/proc"
mount --rbind /sys "$home/root/sys"
mount --rbind /dev "$home/root/dev"
mount -t tmpfs none "$home/root/run"
cd "$home/root"
mount --move . /
exec chroot . env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    PIP_CERT=/root/mirrors.crt ${PIP_INDEX_URL:+"PIP_INDEX_URL=$PIP_INDEX_URL"} \
    sh -c 'cd "/root/a copy" && exec "$@"' sh "$@" </dev/null
