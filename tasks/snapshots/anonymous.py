"""Takes the names and the public addresses out of a snapshot, so that it can be shown to others.

A public address becomes another public one. Two addresses that share a prefix still do, as with
Crypto-PAn (Xu et al., 2002), so that networks, gateways and routes fit together as before. The key
is forgotten. Private addresses stay, and so does the last byte of an IPv4 address.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from tasks.common import values
from tasks.common.values import Address
from tasks.undo.records import LOG

from .model import KUBELET, Snapshot, State

# What is no public address (IANA's special-purpose registries), and stays.
_SPECIAL = tuple(
    map(
        values.network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
            *("::/3", "4000::/2", "8000::/1", "2001:db8::/32"),
        ),
    )
)
_KEPT = {4: 24, 6: 64}  # bits; those after them stay

_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
_GROUP_MAC = re.compile(r"01:00:5e|33:33|ff:ff:ff:ff:ff:ff|00:00:00:00:00:00")
_IP = re.compile(
    r"(?<![\w.:])(\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F.:]*)(/\d{1,3})?"
    r"(?![\w:])"
)
_COMMENT = re.compile(r'(?: -m comment --comment| comment) ("(?:[^"\\]|\\.)*"|\S+)')
_RECORDS = (f"{LOG}/owned", *KUBELET)  # the others name people and machines


def anonymous(snapshot: Snapshot) -> Snapshot:
    """The same snapshot without what says whose it is."""
    names = {m.name: f"{m.role}-{number}" for number, m in enumerate(snapshot.machines)}
    word = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    name = re.compile(rf"(?<![A-Za-z0-9._-])(?:{word})(?![A-Za-z0-9_-])")
    key = secrets.token_bytes(16)
    address = lru_cache(maxsize=None)(lambda text: _address(text, key))

    def change(text: str) -> str:
        text = _MAC.sub(lambda found: _mac(found[0], key), _COMMENT.sub("", text))
        text = _IP.sub(lambda found: address(found[0]), text)
        return name.sub(lambda found: names[found[0]], text)

    machines = [
        replace(
            m, public_ip=_public(m.public_ip, number), state=replace(m.state, files=_files(m.state))
        )
        for number, m in enumerate(snapshot.machines)
    ]
    found = TypeAdapter(Snapshot).dump_python(replace(snapshot, machines=tuple(machines)))
    changed = _changed({**found, "anonymous": True}, change)
    return TypeAdapter(Snapshot).validate_python(changed)


def _files(state: State) -> Any:
    """The files that name no one. A CNI configuration only says what the network is."""
    return tuple(f for f in state.files if f.path in _RECORDS or f.path.startswith("/etc/cni/"))


def _changed(value: object, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        kept = ("format", "taken", "kernel", "path", "role")
        return {k: v if k in kept else _changed(v, change) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_changed(item, change) for item in value)
    return value


def _public(text: str, number: int) -> str:
    """The public address of a machine; a host name is replaced."""
    try:
        values.address(text)
    except ValueError:
        return f"machine-{number}.example.com"
    return text


def _mac(text: str, key: bytes) -> str:
    """Another hardware address, locally administered; the same for the same."""
    if _GROUP_MAC.match(text):
        return text
    return ":".join(["02", *(f"{byte:02x}" for byte in _digest(text, key)[:5])])


def _digest(text: str, key: bytes) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _address(text: str, key: bytes) -> str:
    """Another address for a public one, with the length that follows it. Other text stays."""
    try:
        own = values.interface(text)
    except ValueError:
        return text
    changed = int(_elsewhere(own.ip, key))
    if "/" in text and own.ip == own.network.network_address:
        changed &= int(own.netmask)  # the bits after a prefix are zero
    ip = type(own.ip)(changed)
    return f"{ip}/{text.partition('/')[2]}" if "/" in text else str(ip)


def _elsewhere(ip: Address, key: bytes) -> Address:
    """The address with some of its bits flipped: whether one is depends on those before it only.

    A bit stays where that would move an address into the special ranges, or out of them.
    """
    number, bits = int(ip), ip.max_prefixlen
    flips = 0
    for depth in range(_KEPT[ip.version]):
        before = number >> (bits - depth)
        around = values.network(f"{type(ip)(before << (bits - depth))}/{depth}")
        if any(s.version == ip.version and s.overlaps(around) for s in _SPECIAL):
            continue
        if _digest(f"{ip.version} {depth} {before}", key)[0] & 1:
            flips |= 1 << (bits - depth - 1)
    return type(ip)(number ^ flips)
