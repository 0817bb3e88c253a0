"""What a machine says of BIRD. The answer is not trusted: each value is checked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.common.script import Script, joined, script
from tasks.common.values import Address, Network, address, shown
from tasks.iproute.names import MAIN

from .bird_conf import DIRECTORY, METRIC, RUN, UNIT

LEAST = (2, 0)  # of BIRD: version 1 has another configuration
MAX_SESSIONS = 4096  # that are read; more is no answer of a machine of a cluster

_VERSION = re.compile(r"BIRD version ([0-9]{1,4})\.([0-9]{1,4})(\S*)")
# "10.240.0.7 BGP        ---        up     07:27:52.394  Established   "
_SESSION = re.compile(r"(\S+) +BGP +\S+ +(\S+) +(\S+(?: [0-9:.]+)?)(?: +(.*))?")
_USER = re.compile(r'\(\("([^"]{1,64})",pid=([0-9]{1,10})')


@dataclass(frozen=True)
class SessionState:
    """A session as BIRD sees it."""

    remote: Address
    state: str  # Established, Active, Connect, Idle, ...
    since: str  # in BIRD's own words
    why: str  # the last error, in BIRD's own words; empty if there is none

    @property
    def established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"


@dataclass(frozen=True)
class Bird:
    """BIRD on a machine."""

    version: tuple[int, int] | None = None  # None: not installed
    conf: str = ""  # this tool's configuration; empty: there is none
    password: str = ""  # the checksum of this tool's password file
    running: bool = False  # this tool's own
    sessions: tuple[SessionState, ...] = ()
    listeners: tuple[str, ...] = ()  # the programs that have the port of BGP

    @property
    def usable(self) -> bool:
        """Whether it is installed in a version that takes this tool's configuration."""
        return self.version is not None and self.version >= LEAST


NO_BIRD = Bird()


def read_bird(found: Mapping[str, Sequence[str]]) -> Bird:
    """Read the sections that ask.sh prints. Lines that mean nothing are ignored."""
    version = _VERSION.search(" ".join(found.get("version", ())))
    told = found.get("sessions", ())
    return Bird(
        (int(version[1]), int(version[2])) if version else None,
        "".join(f"{line[1:]}\n" for line in found.get("conf", ()) if line.startswith("|")),
        shown("".join(found.get("password", ()))[:64]),
        any(line.startswith("BIRD ") and line.endswith(" ready.") for line in told),
        tuple(state for line in told[:MAX_SESSIONS] if (state := _session(line))),
        tuple(
            dict.fromkeys(
                shown(m[1]) for line in found.get("listeners", ()) for m in _USER.finditer(line)
            )
        ),
    )


def _session(line: str) -> SessionState | None:
    """A session in a line of `show protocols`; its name in BIRD is the remote address."""
    match = _SESSION.fullmatch(line.strip())
    if match is None:
        return None
    try:
        remote = address(match[1])
    except ValueError:
        return None
    words = (match[4] or "").split(maxsplit=1)
    state = words[0] if words else match[2]
    return SessionState(remote, shown(state), shown(match[3]), shown("".join(words[1:])))


def functions(expected: Iterable[tuple[Network, Address]] = ()) -> Script:
    """The shell functions of bird.sh. `expected`: prefixes and next hops that come by BGP."""
    return script(
        "bgp/bird.sh",
        bird_etc=DIRECTORY,
        bird_run=RUN,
        bird_unit=UNIT,
        bird_metric=METRIC,
        main_table=MAIN,
        expected=[f"{_shown(prefix)} {via}" for prefix, via in expected],
    )


def _shown(prefix: Network) -> str:
    """A prefix as `ip` prints it."""
    return str(prefix.network_address if prefix.num_addresses == 1 else prefix)


def question(port: int | None) -> Script:
    """The shell function `bird_facts`. `port`: of BGP; None: ask only where this tool's BIRD is."""
    return joined(functions(), script("bgp/ask.sh", bird_port=port or ""))
