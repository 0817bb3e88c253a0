"""Which network manager sets up a link, by what the managers themselves recorded."""

import pytest

from tasks.persistence.managers import Manager, read_managers
from tests.builders import DEV

NETWORKD = Manager("networkd", "10-netplan-enp6s0.network")
IFUPDOWN = Manager("ifupdown")
LINKS = "/run/systemd/netif/links"
FILE = "/run/systemd/network/10-netplan-enp6s0.network"
CONFIGURED = [f"{LINKS}/2:ADMIN_STATE=configured", f"{LINKS}/2:NETWORK_FILE={FILE}"]
UNMANAGED = [f"{LINKS}/2:ADMIN_STATE=unmanaged", f"{LINKS}/2:NETWORK_FILE={FILE}"]
SHARED = [*CONFIGURED, f"{LINKS}/3:ADMIN_STATE=configured", f"{LINKS}/3:NETWORK_FILE={FILE}"]
MANAGED = ["/run/NetworkManager/devices/2:managed=true"]
UP = ["lo=lo", f"{DEV}={DEV}"]


@pytest.mark.parametrize(
    ("networkd", "network_manager", "ifupdown", "systemd", "found"),
    [
        (CONFIGURED, [], [], True, NETWORKD),
        (CONFIGURED, MANAGED, UP, False, NETWORKD),
        (UNMANAGED, MANAGED, [], True, Manager("NetworkManager")),
        (SHARED, [], [], True, Manager("systemd")),
        (SHARED, [], [], False, None),
        ([], ["/run/NetworkManager/devices/12:managed=true"], UP, True, IFUPDOWN),
        ([], [], ["lo=lo"], True, Manager("systemd")),
        ([], [], ["lo=lo 1 explicit", f"{DEV}={DEV} 1 explicit"], False, IFUPDOWN),
        ([], [], [f"{DEV}=work 2"], False, IFUPDOWN),  # a name of interfaces(5), as in a mapping
        ([], [], [DEV], False, IFUPDOWN),
        ([], [], [f"{DEV} 1 explicit"], False, IFUPDOWN),
        ([], [], [f"{DEV}.100={DEV}.100 1", f"br={DEV}", " ", f"={DEV}"], False, None),
        (["nonsense", "a=b:c=d", ":"], ["", "/"], ["="], False, None),
    ],
)
def test_what_manages_a_device(
    networkd: list[str],
    network_manager: list[str],
    ifupdown: list[str],
    systemd: bool,
    found: Manager | None,
) -> None:
    managers = read_managers({"2": DEV}, networkd, network_manager, ifupdown, systemd)
    assert managers.get(DEV) == found
