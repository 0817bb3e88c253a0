"""What each network manager is told of a machine's links."""

from collections.abc import Callable

from tasks.twin.design import Host
from tasks.twin.wiring import Nic

# The unit that starts each. netplan writes files for networkd when the machine boots.
UNITS = {
    "networkd": "systemd-networkd.service",
    "ifupdown": "networking.service",
    "netplan": "systemd-networkd.service",
    "NetworkManager": "NetworkManager.service",
}


def _networkd(host: Host) -> dict[str, str]:
    return {f"etc/systemd/network/10-{nic.name}.network": _network(nic) for nic in host.nics}


def _network(nic: Nic) -> str:
    lines = ["[Match]", f"Name={nic.name}", "[Network]", "LinkLocalAddressing=no"]
    lines += ["IPv6AcceptRA=no", *(f"Address={address}" for address in nic.addresses)]
    lines += [f"Gateway={nic.gateway}"] if nic.gateway else []
    return "\n".join(lines) + "\n"


def _ifupdown(host: Host) -> dict[str, str]:
    lines = ["auto lo", "iface lo inet loopback"]
    for nic in host.nics:
        lines += [f"auto {nic.name}", f"iface {nic.name} inet static"]
        lines += [f"    address {address}" for address in nic.addresses]
        lines += [f"    gateway {nic.gateway}"] if nic.gateway else []
    return {"etc/network/interfaces": "\n".join(lines) + "\n"}


def _netplan(host: Host) -> dict[str, str]:
    lines = ["network:", "  version: 2", "  renderer: networkd", "  ethernets:"]
    for nic in host.nics:
        lines += [f"    {nic.name}:", "      link-local: []", "      accept-ra: false"]
        lines += [f"      addresses: [{', '.join(nic.addresses)}]"]
        lines += [f"      routes: [{{to: 0.0.0.0/0, via: {nic.gateway}}}]"] if nic.gateway else []
    return {"etc/netplan/50-lab.yaml": "\n".join(lines) + "\n"}


def _network_manager(host: Host) -> dict[str, str]:
    return {
        f"etc/NetworkManager/system-connections/{nic.name}.nmconnection": _connection(nic, number)
        for number, nic in enumerate(host.nics)
    }


def _connection(nic: Nic, number: int) -> str:
    lines = ["[connection]", f"id={nic.name}", f"uuid=9f0b6c1e-52a7-4c1b-9d53-00000000000{number}"]
    lines += ["type=ethernet", f"interface-name={nic.name}", "[ipv4]", "method=manual"]
    lines += [f"address{n}={address}" for n, address in enumerate(nic.addresses, 1)]
    lines += [f"gateway={nic.gateway}"] if nic.gateway else []
    return "\n".join([*lines, "[ipv6]", "method=disabled"]) + "\n"


FILES: dict[str, Callable[[Host], dict[str, str]]] = {
    "networkd": _networkd,
    "ifupdown": _ifupdown,
    "netplan": _netplan,
    "NetworkManager": _network_manager,
}
