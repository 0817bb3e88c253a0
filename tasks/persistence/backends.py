"""The boot files that restore a machine's routes when it starts. Pure.

The path and format of a file depend on the manager of the link that its routes use. The formats:
systemd.network(5), NetworkManager-dispatcher(8), interfaces(5), systemd.service(5).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tasks.common.script import script
from tasks.common.values import Address, Network, address, network
from tasks.iproute.route import Route, as_shown
from tasks.undo.records import STATE

from .managers import Manager

DISPATCHER = "/etc/NetworkManager/dispatcher.d/50-pod-routes"
IF_UP = "/etc/network/if-up.d/pod-routes"
UNIT = "/etc/systemd/system/pod-routes.service"
AT_BOOT = "/etc/systemd/system/pod-routes.sh"  # what the unit runs
WANTED = (
    "/etc/systemd/system/{}.wants/pod-routes.service"  # by a target, or by a link's device unit
)
PATTERNS = (
    "/etc/systemd/network/*.network.d/50-pod-routes.conf",
    DISPATCHER,
    IF_UP,
    AT_BOOT,
    UNIT,
    *map(WANTED.format, ("multi-user.target", "sys-subsystem-net-devices-*.device")),
)

MAX_PATH = 320  # characters; limits.h allows 255 for a file name

_HEAD = "# Routes to other workers' pods. Made by `fab apply-routes`; `fab rollback` removes it.\n"
_NAME = re.compile(r"[A-Za-z0-9._-]+")  # of a device; only systemd escapes one of these, the dash
_DASH = r"\x2d"

PersistedRoute = tuple[Network, Address]  # a prefix and its next hop


@dataclass(frozen=True)
class File:
    """A boot file, or a symbolic link to one; `text` is then the text of the linked file."""

    path: str
    text: str
    mode: str = "644"  # octal
    target: str = ""  # target of the symbolic link; empty for a regular file


@dataclass(frozen=True)
class Files:
    """The boot files to write and to remove on a machine after its routes are confirmed."""

    write: tuple[File, ...] = ()
    remove: tuple[str, ...] = ()
    stay: bool = False  # True if routes, and the record of displaced routes, survive a reboot

    @property
    def empty(self) -> bool:
        """True if there is nothing to write or remove."""
        return not (self.write or self.remove)

    @property
    def forget(self) -> bool:
        """True if the machine restored routes at boot until now, and no longer will."""
        return bool(self.remove) and not self.stay


NO_FILES = Files()


def is_ours(path: str) -> bool:
    """True if a path is one that a boot file of this tool may have."""
    plain = len(path) <= MAX_PATH and path.isprintable()
    return plain and any(fnmatchcase(path, pattern) for pattern in PATTERNS)


def files_to(
    routes: Iterable[Route], managers: Mapping[str, Manager], found: Mapping[str, str]
) -> Files:
    """The files to write and to remove. `found` holds the present files: their text by path."""
    wanted = {file.path: file for file in _files(routes, managers)}
    return Files(
        tuple(file for path, file in wanted.items() if found.get(path) != file.text),
        tuple(path for path in found if path not in wanted)[::-1],  # a link before its target
        bool(wanted),
    )


def unmanaged(routes: Iterable[Route], managers: Mapping[str, Manager]) -> list[str]:
    """The devices whose routes cannot be restored at boot: no manager, or an unusual name."""
    devices = dict.fromkeys(hop.dev for route in routes for hop in route.hops)
    return [d for d in devices if d not in managers or not _NAME.fullmatch(d)]


def _files(routes: Iterable[Route], managers: Mapping[str, Manager]) -> list[File]:
    """The boot files for those routes that have one next hop and a link with a known manager."""
    by_manager: dict[Manager, list[Route]] = {}
    for route in sorted(routes, key=lambda r: (r.prefix.version, r.prefix)):
        if route.next_hop is not None and route.hops[0].dev in managers:
            by_manager.setdefault(managers[route.hops[0].dev], []).append(route)
    return [file for manager, held in by_manager.items() for file in _of(manager, held)]


def _of(manager: Manager, routes: Sequence[Route]) -> list[File]:
    """The boot files for the routes of one manager's links."""
    if manager.kind == "networkd":
        path = f"/etc/systemd/network/{manager.network}.d/50-pod-routes.conf"
        return [File(path, _drop_in(routes))]
    if manager.kind == "NetworkManager":
        when = "case $2 in up | reapply | dhcp4-change | dhcp6-change) ;; *) exit 0 ;; esac\n"
        return [File(DISPATCHER, _script(routes, when), "755")]
    if manager.kind == "ifupdown":
        return [File(IF_UP, _script(routes), "755")]
    units = ["multi-user.target", *dict.fromkeys(_device_unit(r.hops[0].dev) for r in routes)]
    text = _unit(units)
    return [
        File(AT_BOOT, f"{_HEAD}{_at_boot(routes)}\n"),
        File(UNIT, text),
        *(File(WANTED.format(unit), text, target=UNIT) for unit in units),
    ]


def _drop_in(routes: Iterable[Route]) -> str:
    sections = [
        f"\n[Route]\nDestination={r.prefix}\nGateway={r.next_hop}\nProtocol={r.protocol}\n"
        + (f"Metric={r.metric}\n" if r.metric else "")
        for r in routes
    ]
    return _HEAD + "".join(sections)


def _script(routes: Iterable[Route], when: str = "") -> str:
    """A shell script that adds the missing routes. It ignores routes that cannot be added."""
    lines = "".join(f"route add {r.words}\n" for r in routes)
    return (
        f"#!/bin/sh\n{_HEAD}PATH=/usr/sbin:/sbin:/usr/bin:/bin\n{when}"
        f"ip -force -batch - 2>/dev/null <<'END'\n{lines}END\nexit 0\n"
    )


def _at_boot(routes: Iterable[Route]) -> str:
    """The script that the unit runs. It holds the routes.

    So the unit adds the present routes even if systemd has not read it again since they changed.
    """
    lines = (f"route add {as_shown(r.prefix)}{r.words.removeprefix(str(r.prefix))}" for r in routes)
    return script("persistence/at_boot.sh", state=STATE, routes=lines)


def _unit(units: Iterable[str]) -> str:
    """The unit: it starts at boot and when a link appears, and again until the routes are there.

    It is not bound to the links (BindsTo=): systemd knows a link only where udev runs, which
    containers lack, and it would never start there. It is no oneshot unit: systemd before 244 tries
    none of these again. A rollback removes the script, and systemd may still know the unit then. It
    ends well then: with a condition (ConditionPathExists=) systemd 257 would not end its tries.
    """
    run = f"/bin/sh -c '! test -e {AT_BOOT} || . {AT_BOOT}'"
    return (
        f"{_HEAD}[Unit]\nDescription=Routes to other workers' pods\n"
        "Wants=network-online.target\nAfter=network-online.target\n"
        "StartLimitIntervalSec=0\n\n"
        f"[Service]\nExecStart={run}\nRestart=on-failure\nRestartSec=5\n\n"
        f"[Install]\nWantedBy={' '.join(units)}\n"
    )


def _device_unit(device: str) -> str:
    """The unit of a link, escaped as systemd.unit(5) says; udev makes systemd know it."""
    return f"sys-subsystem-net-devices-{device.replace('-', _DASH)}.device"


_WAY = re.compile(r"(?:^Destination=|route add )(\S+)(?:\nGateway=| via )(\S+)", re.MULTILINE)


def persisted_routes(files: Mapping[str, str]) -> frozenset[PersistedRoute]:
    """The routes in the boot files of this tool. Lines in any other format are ignored."""
    ways = set()
    for text in files.values():
        for prefix, via in _WAY.findall(text):
            try:
                ways.add((network(prefix), address(via)))
            except ValueError:
                continue
    return frozenset(ways)
