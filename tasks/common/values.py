"""Parses untrusted text: everything that comes from a machine, a program or a file. Pure.

Every reader of such text parses it here and passes on only the resulting values. Each parser
raises ValueError for invalid text, with a message that is safe to print. No other module parses
addresses; ruff's banned-api enforces that.
"""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

MAX_LINE = 1 << 14  # characters in one line of untrusted text
MAX_SHOWN = 200  # characters of untrusted text that a message quotes
MAX_NUMBER = (1 << 63) - 1

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"  # of a machine in hosts.toml
_WORD = re.compile(r"[!-~]{1,64}")
_NETWORK = re.compile(r"[0-9A-Fa-f.:]{2,45}/[0-9]{1,3}")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")


def address(text: str) -> Address:
    """An IPv4 or IPv6 address. A scope ID (RFC 4007) is refused, because it may be any text."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"not an address: {quoted(text)}")
    return IPv6Address(text) if ":" in text else IPv4Address(text)


def interface(text: str) -> Interface:
    """An address with a prefix length, such as `10.240.0.6/24`. The default is /32 or /128."""
    if not (_NETWORK.fullmatch(text) or _ADDRESS.fullmatch(text)):
        raise ValueError(f"not an address with a prefix length: {quoted(text)}")
    return IPv6Interface(text) if ":" in text else IPv4Interface(text)


def network(text: str) -> Network:
    """A network in CIDR notation (RFC 4632), with host bits cleared. Default: /32 or /128."""
    return interface(text).network


def prefix(text: str) -> Network:
    """The prefix of a route. As in the kernel, it must not have host bits set."""
    found = interface(text)
    if found.ip != found.network.network_address:
        raise ValueError(f"not a prefix: {quoted(text)}")
    return found.network


def why_no_address(text: str) -> str:
    """The reason why `address` refuses a text, for a message to the person who wrote it."""
    return _why_not(IPv6Address if ":" in text else IPv4Address, text)


def why_no_network(text: str) -> str:
    """The reason why `network` refuses a text, for a message to the person who wrote it."""
    return _why_not(IPv6Interface if ":" in text else IPv4Interface, text)


def _why_not(kind: type[Address | Interface], text: str) -> str:
    try:
        kind(text)
    except ValueError as error:
        return shown(str(error))
    return "write it as 10.200.0.0/24 is written"


def host(ip: Address) -> Network:
    """The network that contains only this address (/32 or /128)."""
    return IPv6Network(ip) if isinstance(ip, IPv6Address) else IPv4Network(ip)


def number(text: str, least: int = 0, most: int = MAX_NUMBER) -> int:
    """An integer in ASCII digits, from `least` to `most`."""
    if re.fullmatch(r"-?[0-9]{1,19}", text) and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"not a number from {least} to {most}: {quoted(text)}")


def decimal(text: str, most: float) -> float:
    """A decimal number such as `3` or `0.031`, from 0 to `most`."""
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{0,9})?", text) and float(text) <= most:
        return float(text)
    raise ValueError(f"not a number from 0 to {most}: {quoted(text)}")


def device(text: str) -> str:
    """The name of a network link that the kernel allows (dev_valid_name in net/core/dev.c).

    Characters that `ip -batch` reads as a comment, a quote or an escape (ip(8)) are refused.
    """
    named = 0 < len(text) < 16 and text not in (".", "..")
    if named and text.isprintable() and not set(text) & set("/: #'\"\\"):
        return text
    raise ValueError(f"not the name of a network link: {quoted(text)}")


def name(text: str) -> str:
    """The name of a machine, as hosts.toml allows it."""
    if re.fullmatch(NAME, text):
        return text
    raise ValueError(f"not the name of a machine: {quoted(text)}")


def word(text: str) -> str:
    """A word of at most 64 printable ASCII characters, such as a routing protocol or table."""
    if _WORD.fullmatch(text):
        return text
    raise ValueError(f"not a word: {quoted(text)}")


def printable(text: str) -> str:
    """The text with "?" for every unprintable character, so that it cannot control a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def shown(text: str, most: int = MAX_SHOWN) -> str:
    """The text for a table or a message: printable, on one line, at most `most` characters."""
    plain = printable(" ".join(text.split()))
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def quoted(text: str) -> str:
    """The text in quotes for a message, so nobody mistakes it for part of the message."""
    return f'"{shown(text)}"'


def lines(text: str) -> list[str]:
    """The lines of a text, with every unprintable character except tabs replaced by "?".

    Only a line feed ends a line; `str.splitlines` would also split at other characters. Raises
    ValueError if a line has more than MAX_LINE characters.
    """
    found = text.split("\n")
    if len(text) > MAX_LINE and len(max(found, key=len)) > MAX_LINE:
        raise ValueError(f"a line of the answer is longer than {MAX_LINE} characters")
    return [line if line.isprintable() else _with_tabs(line) for line in found]


def _with_tabs(line: str) -> str:
    return "\t".join(map(printable, line.split("\t")))


def within(inner: Network, networks: Iterable[Network]) -> bool:
    """True if a prefix lies inside one of the networks. The networks may mix both families."""
    return any(
        inner.version == outer.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
        for outer in networks
    )
