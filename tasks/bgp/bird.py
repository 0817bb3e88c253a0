"""What a machine says of BIRD. The answer is not trusted: each value is checked."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.common.script import Script, joined, script
from tasks.common.values import Address, Network, address, shown
from tasks.iproute.names import MAIN
from tasks.iproute.route import Route, as_shown

from .bird_conf import BOOT, METRIC, RUN, UNIT

LEAST = (2, 0)  # of BIRD: version 1 has another configuration
MAX_SESSIONS = 4096  # that are read; more is no answer of a machine of a cluster
MAX_PREFIXES = 1 << 20

_VERSION = re.compile(r"BIRD version ([0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?)")
# "10.240.0.7 BGP        ---        up     07:27:52.394  Established   "
_SESSION = re.compile(r"(\S+) +BGP +\S+ +(\S+) +(\S+(?: [0-9:.]+)?)(?: +(.*))?")
# "    Routes:         1 imported, 1 exported, 1 preferred"
_ROUTES = re.compile(r" +Routes: +([0-9]{1,7}) imported,.*?([0-9]{1,7}) exported.*")
# "LISTEN 0 8 10.240.0.10:179 0.0.0.0:* users:(("bird",pid=5124,fd=7))"
_LISTENER = re.compile(r"LISTEN +\S+ +\S+ +(\S+):[0-9]{1,5} +\S+(?: +users:(.*))?")
_USER = re.compile(r'\("([^"]{1,64})",')


@dataclass(frozen=True)
class SessionState:
    """A session as BIRD sees it."""

    remote: Address
    state: str  # Established, Active, Connect, Idle, ...
    since: str  # in BIRD's own words
    why: str = ""  # the last error, in BIRD's own words; empty if there is none
    imported: int = 0  # prefixes
    exported: int = 0  # prefixes

    @property
    def established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"


@dataclass(frozen=True)
class Listener:
    """A program that has the port of BGP; not this tool's BIRD."""

    address: str  # as ss(8) prints it: 0.0.0.0, [::] or * for all addresses
    program: str  # empty if ss does not know it


@dataclass(frozen=True)
class Bird:
    """BIRD on a machine."""

    version: str = ""  # empty: not installed
    systemd: bool = False  # whether systemd runs the machine, and so can bring BIRD back at boot
    conf: str = ""  # this tool's configuration; empty: there is none
    password: str = ""  # the SHA-256 of this tool's password file; empty: there is none
    at_boot: str = ""  # "yes": it comes back at boot as it runs; "other": as it was; "": not
    before: str | None = None  # its configuration before the last run; None: unchanged by it
    running: bool = False  # this tool's own
    sessions: tuple[SessionState, ...] = ()
    listeners: tuple[Listener, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it is installed in a version that takes this tool's configuration."""
        return tuple(map(int, filter(None, self.version.split(".")))) >= LEAST

    @property
    def there(self) -> bool:
        """Whether this tool's own is there: it runs, or has a configuration."""
        return bool(self.conf or self.running or self.at_boot)


NO_BIRD = Bird()


def read_bird(found: Mapping[str, Sequence[str]]) -> Bird:
    """Read the sections that ask.sh prints. Lines that mean nothing are ignored."""
    version = _VERSION.search(" ".join(found.get("version", ())))
    told = found.get("sessions", ())
    before = found.get("before", ())
    at_boot = "".join(found.get("boot", ()))
    return Bird(
        version[1] if version else "",
        bool(found.get("systemd")),
        _without_bars(found.get("conf", ())),
        shown("".join(found.get("password", ()))[:64]),
        at_boot if at_boot in ("yes", "other") else "",
        _without_bars(before) if before else None,
        any(line.startswith("BIRD ") and line.endswith(" ready.") for line in told),
        read_sessions(told),
        tuple(listener for line in found.get("listeners", ()) for listener in _listeners(line)),
    )


def _without_bars(lines: Iterable[str]) -> str:
    return "".join(f"{line[1:]}\n" for line in lines if line.startswith("|"))


def read_sessions(lines: Iterable[str]) -> tuple[SessionState, ...]:
    """The sessions that `birdc show protocols`, with or without `all`, prints."""
    found: list[SessionState] = []
    within = False  # whether the lines are about a session
    for line in lines:
        if not line.startswith(" "):
            state = _session(line)
            within = state is not None and len(found) < MAX_SESSIONS
            found += [state] if state is not None and within else []
        elif within and (routes := _ROUTES.fullmatch(line)):
            last = found[-1]
            found[-1] = replace(
                last,
                imported=min(last.imported + int(routes[1]), MAX_PREFIXES),
                exported=min(last.exported + int(routes[2]), MAX_PREFIXES),
            )
        elif within and not found[-1].why and line.lstrip().startswith("Last error:"):
            found[-1] = replace(found[-1], why=shown(line.partition(":")[2].strip()))
    return tuple(found)


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


def _listeners(line: str) -> Iterator[Listener]:
    if match := _LISTENER.fullmatch(line.strip()):
        users = dict.fromkeys(_USER.findall(match[2] or "")) or [""]
        yield from (Listener(shown(match[1]), shown(user)) for user in users)


def is_of_bgp(route: Route) -> bool:
    """Whether this tool's BIRD has put a route there."""
    return route.protocol == "bird" and route.metric == METRIC and route.table == "main"


def functions(expected: Iterable[tuple[Network, Address]] = ()) -> Script:
    """The shell functions of bird.sh. `expected`: prefixes and next hops that come by BGP."""
    return script(
        "bgp/bird.sh",
        bird_run=RUN,
        bird_boot=BOOT,
        bird_unit=UNIT,
        bird_metric=METRIC,
        main_table=MAIN,
        expected=[f"{as_shown(prefix)} {via}" for prefix, via in expected],
    )


def question(port: int | None) -> Script:
    """The shell function `bird_facts`. `port`: of BGP; None: ask only where this tool's BIRD is."""
    return joined(functions(), script("bgp/ask.sh", bird_port=port or ""))
