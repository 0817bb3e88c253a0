"""The jump hosts that a ProxyJump of ssh_config(5) names. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from tasks.common import values

_PLACE = re.compile(
    r"(?:(?P<user>.+)@)?(?:\[(?P<bracketed>[^\[\]@/]+)\]|(?P<plain>[^\[\]@/:]+))(?::(?P<port>[0-9]*))?"
)
_URI = "ssh://"


@dataclass(frozen=True)
class Hop:
    """A jump host as it is written; None stands for what ssh_config says of that host."""

    host: str
    user: str | None = None
    port: int | None = None


def hops(text: str) -> list[Hop]:
    """The jump hosts in their order. Raises ValueError if the text names none.

    Each is `[user@]host[:port]` or `ssh://[user@]host[:port]`, with an IPv6 address in brackets.
    An IPv6 address alone may go without them.
    """
    return [_hop(word.strip()) for word in text.split(",")]


def _hop(word: str) -> Hop:
    is_uri = word.lower().startswith(_URI)
    place = word[len(_URI) :].removesuffix("/") if is_uri else word
    user, at, host = place.rpartition("@")
    try:
        return Hop(str(values.address(host)), user if at else None)
    except ValueError:
        pass
    match = _PLACE.fullmatch(place)
    if match is None:
        raise ValueError(f"{values.quoted(word)} is no host")
    user = match["user"]
    if is_uri and user:
        user = unquote(user.partition(";")[0])  # parameters of the connection: none is known
    port = values.number(match["port"], 1, 65535) if match["port"] else None
    return Hop(match["bracketed"] or match["plain"], user, port)
