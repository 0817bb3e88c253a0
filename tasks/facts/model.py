"""Facts: what one machine says of itself, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tasks.common.values import Address, Interface
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.persistence.managers import Manager
from tasks.undo.records import Displaced, Last, Pending

from .pod_cidrs import DEFAULT_BRIDGE, Claim

_PACKAGES = {"ip": "iproute2", "ping": "iputils-ping", "flock": "util-linux"}


@dataclass(frozen=True)
class Facts:
    """What one machine says of itself."""

    routes: tuple[Route, ...]
    rules: tuple[Rule, ...] = ()
    addresses: tuple[tuple[str, Interface], ...] = ()  # device, address with prefix length
    bridges: Mapping[str, int] = field(default_factory=dict)  # device, MTU in bytes
    claims: tuple[Claim, ...] = ()
    pod_bridge: str = DEFAULT_BRIDGE
    pod_mtu: int = 1500  # bytes
    masquerades: bool = False  # the CNI config's ipMasq
    reserved: frozenset[Address] = frozenset()  # host-local's store
    displaced: tuple[Displaced, ...] = ()
    client: Address | None = None  # where the operator's ssh comes from
    answering: frozenset[Address] = frozenset()  # unknown next hops that answered a ping
    missing: tuple[str, ...] = ()  # programs; where it is BusyBox's, with words that say so
    maker: str = ""  # of the machine, virtual or not, by its DMI
    pending: Pending | None = None
    last: Last | None = None
    # The runs armed there, in that order; beside each, those that were known elsewhere before it.
    runs: tuple[tuple[str, ...], ...] = ()
    kept: tuple[Route, ...] = ()  # ours, as they were when the last change was confirmed
    files: Mapping[str, str] = field(default_factory=dict)  # ours that bring routes back, by path
    managers: Mapping[str, Manager] = field(default_factory=dict)  # by device
    snapshot: str = ""  # all routes that this tool may touch, as readback.sh shows them

    @cached_property
    def owned(self) -> tuple[Route, ...]:
        """The routes this tool put there."""
        return tuple(r for r in self.routes if r.owned and r.table == "main")

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The next hops of its default routes."""
        ways = (r for r in self.routes if r.prefix.prefixlen == 0 and r.table == "main")
        return tuple(hop.via for r in ways for hop in r.hops if hop.via is not None)

    @property
    def lifelines(self) -> tuple[Address, ...]:
        """What has to be reached as before, whatever is changed: the operator, and the gateways."""
        return (*((self.client,) if self.client else ()), *self.gateways)

    def packages_missing(self) -> tuple[str, ...]:
        """The packages to install, by their name in Debian and most others."""
        programs = (words.partition(" ")[0] for words in self.missing)
        return tuple(dict.fromkeys(_PACKAGES.get(program, program) for program in programs))
