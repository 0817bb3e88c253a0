"""Facts: what one machine says about itself, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tasks.bgp.bird import NO_BIRD, Bird
from tasks.common.values import Address, Interface
from tasks.iproute.route import Route
from tasks.iproute.rule import Rule
from tasks.persistence.managers import Manager
from tasks.undo.records import Displaced, Last, Pending

from .pod_cidrs import DEFAULT_BRIDGE, Claim

_PACKAGES = {"ip": "iproute2", "ping": "iputils-ping", "flock": "util-linux"}


@dataclass(frozen=True)
class Facts:
    """What one machine says about itself."""

    routes: tuple[Route, ...]
    rules: tuple[Rule, ...] = ()
    addresses: tuple[tuple[str, Interface], ...] = ()  # device, address with prefix length
    bridges: Mapping[str, int] = field(default_factory=dict)  # device, MTU in bytes
    claims: tuple[Claim, ...] = ()
    pod_bridge: str = DEFAULT_BRIDGE  # empty: nothing tells which bridge holds its pods
    pod_mtu: int = 1500  # bytes
    masquerades: bool = False  # the CNI config's ipMasq
    reserved: frozenset[Address] = frozenset()  # host-local's store
    displaced: tuple[Displaced, ...] = ()
    client: Address | None = None  # the source address of the operator's ssh
    answering: frozenset[Address] = frozenset()  # unknown next hops that answered a ping
    bird: Bird = NO_BIRD
    missing: tuple[str, ...] = ()  # programs, or "PROGRAM of this kind"
    maker: str = ""  # of the real or virtual machine, from its DMI
    pending: Pending | None = None
    last: Last | None = None
    # The runs that this machine was armed for, in order. After each run: earlier runs of others.
    runs: tuple[tuple[str, ...], ...] = ()
    recorded: tuple[Route, ...] = ()  # owned routes, recorded when the last change was confirmed
    files: Mapping[str, str] = field(default_factory=dict)  # our files that restore routes, by path
    managers: Mapping[str, Manager] = field(default_factory=dict)  # by device
    snapshot: str = ""  # all routes that this tool may touch, as readback.sh shows them

    @cached_property
    def owned(self) -> tuple[Route, ...]:
        """The routes that this tool added."""
        return tuple(r for r in self.routes if r.owned and r.table == "main")

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The next hops of its default routes."""
        ways = (r for r in self.routes if r.prefix.prefixlen == 0 and r.table == "main")
        return tuple(hop.via for r in ways for hop in r.hops if hop.via is not None)

    @property
    def lifelines(self) -> tuple[Address, ...]:
        """The addresses that no change may cut off: the operator's, and those of the gateways."""
        return (*((self.client,) if self.client else ()), *self.gateways)

    @property
    def bridgeless(self) -> bool:
        """Whether pods have run there, and the bridge that holds them is missing."""
        return bool(self.reserved and self.pod_bridge) and self.pod_bridge not in self.bridges

    def packages_missing(self) -> tuple[str, ...]:
        """The packages with the missing programs, by their name in Debian and most others."""
        programs = (words.partition(" ")[0] for words in self.missing)
        return tuple(dict.fromkeys(_PACKAGES.get(program, program) for program in programs))
