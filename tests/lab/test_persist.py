"""Routes that stay, on the twin: what a real systemd-networkd takes away, and what comes back."""

import pytest

from tasks.persistence import backends

from . import networkd
from .conftest import Lab, MakeLab, tutorial
from .kit import ok, on

AUTO = ("apply-routes", "--no-ping", "--persist", "auto")
FILE = networkd.DROP_IN.format("20-private.network")


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    return make_lab(tutorial(2))


def ours(lab: Lab, machine: str) -> list[str]:
    """The routes of ours that a machine has."""
    return on(lab, machine, "ip -o route show proto 214 table main").splitlines()


def files(lab: Lab, machine: str) -> list[str]:
    """What lies on a machine's disk that this tool could have put there."""
    return on(
        lab, machine, "find /etc /var/lib -name '*pod-routes*' -not -path /var/lib/pod-routes"
    ).split()


def test_networkd_takes_away_what_no_file_holds_and_brings_back_what_one_does(lab: Lab) -> None:
    networkd.start(lab, "worker-0")
    done = lab.fab("apply-routes", "--no-ping")
    assert "do not survive a reboot" in done.stderr
    ok(done)
    assert len(ours(lab, "worker-0")) == 1
    assert networkd.boot(lab, "worker-0") == []
    networkd.restart(lab, "worker-0")
    assert ours(lab, "worker-0") == []

    done = lab.fab(*AUTO)
    assert "1 added, 2 files written on 2 machines" in ok(done)
    assert "survive" not in done.stderr
    assert 'set persist = "auto"' in done.stderr
    table = ours(lab, "worker-0")
    assert len(table) == 1
    assert files(lab, "worker-0") == [FILE]
    assert [line.strip() for line in networkd.boot(lab, "worker-0")] == [
        line.strip() for line in table
    ]
    networkd.restart(lab, "worker-0")
    assert [line.strip() for line in ours(lab, "worker-0")] == [line.strip() for line in table]
    assert "nothing to do" in ok(lab.fab(*AUTO))
    on(lab, "worker-0", "ip link set enp6s0 down")
    addresses = "ip -o -4 addr show enp6s0"
    networkd.wait_for(lambda: on(lab, "worker-0", addresses) == "", "networkd sees no loss")
    on(lab, "worker-0", "ip link set enp6s0 up")
    networkd.wait_for(lambda: ours(lab, "worker-0") != [], "a link that flaps costs the routes")


def test_rollback_leaves_no_file_and_none_takes_them_away(lab: Lab) -> None:
    before = lab.tables()
    ok(lab.fab(*AUTO))
    assert files(lab, "worker-1") == [backends.IF_UP]
    assert "1 add, 1 file" in ok(lab.fab("history"))
    asked = lab.fab("apply-routes", "--no-ping")
    assert "add --yes" in asked.stderr
    ok(asked, status=1)
    assert "2 files removed on 2 machines" in ok(lab.fab("apply-routes", "--no-ping", "--yes"))
    assert files(lab, "worker-1") == []
    assert len(ours(lab, "worker-1")) == 1
    ok(lab.fab(*AUTO))
    ok(lab.fab("rollback", "--no-ping"))
    assert [files(lab, m.name) for m in lab.cluster.machines] == [[], []]
    assert lab.tables() == before


def test_nothing_is_written_before_the_change_is_confirmed(lab: Lab) -> None:
    ok(lab.fab(*AUTO, "--hold"))
    assert files(lab, "worker-0") == []
    ok(lab.fab("confirm"))
    assert files(lab, "worker-0") == [backends.IF_UP]
    ok(lab.fab("rollback", "--last", "--no-ping"))
    assert files(lab, "worker-0") == []


def test_a_machine_whose_disk_takes_no_file_is_named(lab: Lab) -> None:
    on(lab, "worker-1", "mkdir -p /etc/network/if-up.d && mount -t tmpfs -o ro none /etc/network")
    done = lab.fab(*AUTO)
    out = ok(done, status=4)
    assert out.splitlines()[-1].startswith("committed, but worker-1 could not change its files")
    assert "Read-only file system" in out
    assert [len(ours(lab, m.name)) for m in lab.cluster.machines] == [1, 1]
    assert files(lab, "worker-0") == [backends.IF_UP]
    assert "its files could not be changed" in ok(lab.fab("history"))
    on(lab, "worker-1", "umount /etc/network")
    assert "1 file written on 1 machine" in ok(lab.fab(*AUTO))


def test_what_was_displaced_outlives_a_reboot_with_the_routes(lab: Lab) -> None:
    on(lab, "worker-0", "ip route add 10.200.1.0/24 via 10.240.0.99 proto static mtu 1400")
    before = lab.tables()
    ok(lab.fab(*AUTO, "--replace", "--yes"))
    on(lab, "worker-0", "rm -rf /run/pod-routes")
    ok(lab.fab("rollback", "--no-ping"))
    assert lab.tables() == before
    assert on(lab, "worker-0", "ls /var/lib/pod-routes").split() == ["history", "owned", "runs"]


def test_what_was_displaced_does_not_come_back_on_another_link(lab: Lab) -> None:
    """The kernel's bytes name a link by its number, which a reboot may change."""
    on(lab, "worker-0", "ip route add 10.200.1.0/24 dev enp6s0 proto static")
    ok(lab.fab(*AUTO, "--replace", "--yes"))
    swapped = "ip link set enp6s0 down; ip link set enp6s0 name other; ip link set other up"
    on(lab, "worker-0", f"{swapped}; ip link add enp6s0 type veth peer name more")
    on(lab, "worker-0", "ip link set enp6s0 up; ip link set more up; rm -rf /run/pod-routes")
    before = lab.tables()["worker-0"]
    done = lab.fab("rollback", "--no-ping")
    assert "the links have other numbers" in ok(done, status=3)
    assert lab.tables()["worker-0"] == before


def test_a_network_file_of_another_name_moves_the_drop_in(lab: Lab) -> None:
    """As netplan does when somebody renames what it makes."""
    networkd.start(lab, "worker-0", networkd.NETPLAN)
    ok(lab.fab(*AUTO, "--limit", "worker-0"))
    old, new = (networkd.DROP_IN.format(n.rpartition("/")[2]) for n in (networkd.NETPLAN, NEW))
    assert files(lab, "worker-0") == [old]
    on(lab, "worker-0", f"mv {networkd.NETPLAN} {NEW}")
    networkd.restart(lab, "worker-0")
    assert ours(lab, "worker-0") == []
    planned = ok(lab.fab("plan", "--persist", "auto", "--limit", "worker-0"))
    assert f"write     {new}" in planned
    assert f"remove    {old}" in planned
    ok(lab.fab(*AUTO, "--limit", "worker-0"))
    assert files(lab, "worker-0") == [new]
    assert old.rpartition("/")[0] not in on(lab, "worker-0", "find /etc/systemd/network")
    assert len(networkd.boot(lab, "worker-0", NEW)) == 1


def test_scripts_of_other_managers_add_what_is_missing_and_pass_over_the_rest(lab: Lab) -> None:
    """As ifup(8) runs them, and as NetworkManager-dispatcher(8) says it does."""
    on(lab, "worker-0", "sed 's/$/ 1 explicit/' /run/network/ifstate >/run/ifstate")
    on(lab, "worker-0", f"rm /run/network/ifstate; mkdir -p /etc/network; echo {OFF} >{NG}")
    assert "no network manager" in ok(lab.fab(*AUTO), status=1)
    on(lab, "worker-0", f"rm {NG}")
    ok(lab.fab(*AUTO))
    table = ours(lab, "worker-0")
    as_ifup = "IFACE=enp6s0 MODE=start run-parts --exit-on-error /etc/network/if-up.d"
    on(lab, "worker-0", as_ifup)
    assert ours(lab, "worker-0") == table
    on(lab, "worker-0", f"ip route del 10.200.1.0/24; {as_ifup}")
    assert ours(lab, "worker-0") == table
    managed = "mkdir -p /run/NetworkManager/devices; echo managed=true >/run/NetworkManager/devices"
    on(lab, "worker-0", f"{managed}/$(cat /sys/class/net/enp6s0/ifindex)")
    ok(lab.fab(*AUTO))
    assert files(lab, "worker-0") == [backends.DISPATCHER]
    for action, there in (("down", []), ("up", table)):
        on(
            lab,
            "worker-0",
            f"ip route flush proto 214; env -i {backends.DISPATCHER} enp6s0 {action}",
        )
        assert ours(lab, "worker-0") == there


NG, OFF = "/etc/network/ifupdown-ng.conf", "allow_addon_scripts=0"
NEW = "/run/systemd/network/10-netplan-private.network"
