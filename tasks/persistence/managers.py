"""Finds the network manager of each link of a machine. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Manager:
    """The program that configures a link and adds its routes when the machine or link starts."""

    kind: Literal["networkd", "NetworkManager", "ifupdown", "systemd"]
    network: str = ""  # networkd: the name of the link's .network file


def read_managers(
    devices: Mapping[str, str],
    networkd: Iterable[str],
    network_manager: Iterable[str],
    ifupdown: Iterable[str],
    systemd: bool,
) -> dict[str, Manager]:
    """The manager of each device. A device without a manager is not in the result.

    `devices` maps the index of a link to its name. `systemd` is True if the machine runs systemd.
    The other arguments are lines of grep. `networkd` and `network_manager` come from the state
    files of these programs, one file per link, named by its index (`networkctl status` and `nmcli`
    show the same). `ifupdown` comes from ifstate, where a line is DEVICE=NAME, in ifupdown-ng with
    a number and perhaps a word after it (ifstate(5)).
    """
    networks = _network_files(networkd)
    links_of = Counter(networks.values())
    network_manager_links = {_file_name(line.partition(":")[0]) for line in network_manager}
    ifupdown_devices = {line.replace("=", " ").partition(" ")[0] for line in ifupdown}
    found = {}
    for index, device in devices.items():
        network = networks.get(index, "")
        # If several links shared the .network file, networkd would wait for the routes on links
        # where it cannot set them.
        if network and links_of[network] == 1:
            found[device] = Manager("networkd", network)
        elif index in network_manager_links and not network:
            found[device] = Manager("NetworkManager")
        elif device in ifupdown_devices and not network:
            found[device] = Manager("ifupdown")
        elif systemd:
            found[device] = Manager("systemd")
    return found


def _network_files(lines: Iterable[str]) -> dict[str, str]:
    """The name of the .network file by link index, for each link that networkd manages."""
    settings: dict[str, dict[str, str]] = {}
    for line in lines:
        file, _, setting = line.partition(":")
        key, _, value = setting.partition("=")
        settings.setdefault(_file_name(file), {})[key] = _file_name(value)
    return {
        index: of_link["NETWORK_FILE"]
        for index, of_link in settings.items()
        if of_link.get("NETWORK_FILE", "").endswith(".network")
        and of_link.get("ADMIN_STATE") != "unmanaged"
    }


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
