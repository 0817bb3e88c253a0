"""A machine of the twin whose private link a real systemd-networkd sets up.

Links count as its own once udev has marked them initialised; without that, or with a read-only
/sys, it leaves routes alone that it did not make, and nothing would be shown.
"""

import time
from collections.abc import Callable

from .conftest import Lab
from .kit import on

NETWORK = "/etc/systemd/network/20-private.network"
NETPLAN = "/run/systemd/network/10-netplan-enp6s0.network"
DROP_IN = "/etc/systemd/network/{0}.d/50-pod-routes.conf"

_START = """
mkdir -p /run/udev/data /run/systemd/netif {directory}
chown systemd-network: /run/systemd/netif
for link in /sys/class/net/*; do echo I:1 >/run/udev/data/n$(cat $link/ifindex); done
cat >{network} <<END
[Match]
Name=enp6s0
[Network]
Address={address}
IPv6AcceptRA=no
LinkLocalAddressing=no
END
setsid /lib/systemd/systemd-networkd </dev/null >/var/log/networkd 2>&1 9>&- &
echo $! >/run/networkd.pid
"""

_BOOT = """
mount -t sysfs none /sys && mount -t tmpfs none /run && mount -t proc none /proc
ip link add enp6s0 type veth peer name switch && ip link set switch up && ip link set lo up
{start}
for try in $(seq 300); do
  case $(cat /run/systemd/netif/links/* 2>/dev/null) in *ADMIN_STATE=configured*) break ;; esac
  sleep 0.02
done
kill $(cat /run/networkd.pid)
ip -o route show proto 214 table main
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def start(lab: Lab, machine: str, network: str = NETWORK) -> None:
    """Have networkd set up the private link by a .network file, and wait until it has."""
    on(lab, machine, _start(lab, machine, network))
    wait_for(lambda: configured(lab, machine), "networkd does not set up the link")


def restart(lab: Lab, machine: str) -> None:
    """End networkd, start it again, and wait until it has set up the link."""
    again = (
        "pid=$(cat /run/networkd.pid); kill $pid; while kill -0 $pid; do sleep 0.02; done;"
        " rm -f /run/systemd/netif/links/*;"
        " setsid /lib/systemd/systemd-networkd </dev/null >/var/log/networkd 2>&1 &"
        " echo $! >/run/networkd.pid"
    )
    on(lab, machine, again)
    wait_for(lambda: configured(lab, machine), "networkd does not set up the link again")


def configured(lab: Lab, machine: str) -> bool:
    """Whether networkd has set up the link."""
    return "ADMIN_STATE=configured" in on(lab, machine, "cat /run/systemd/netif/links/* || true")


def boot(lab: Lab, machine: str, network: str = NETWORK) -> list[str]:
    """The routes of ours after a reboot: a new network, an empty /run, networkd on the old files.

    The machine's own network goes on beside it.
    """
    script = _BOOT.format(start=_start(lab, machine, network))
    done = lab.twin.run(machine, ["unshare", "--net", "--mount", "sh", "-c", script])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _start(lab: Lab, machine: str, network: str) -> str:
    host = lab.twin.spec.host(machine)
    (address,) = host.nics[1].addresses
    directory = network.rpartition("/")[0]
    return _START.format(network=network, directory=directory, address=address)
