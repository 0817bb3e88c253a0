"""A provider's network as it is now: its table, and what is remembered of it."""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.common.errors import Stop
from tasks.inventory.model import ProviderNetwork

from .memory import Memory, remembered
from .model import Key, Table, TableRoute
from .provider import provider_of

MOST_ROUTES = 5000  # the highest quota of any provider is a fifth


@dataclass(frozen=True)
class NetworkState:
    """A network as it is now. `atomic`: its API exchanges a route without a gap."""

    name: str  # for people
    table: Table
    memory: Memory
    atomic: bool

    def has(self, key: Key) -> bool:
        """Whether the table has a route that is remembered like this."""
        route = self.table.by_destination.get(key[0])
        return route is not None and route.key == key

    def owned(self, route: TableRoute) -> bool:
        """Whether this tool added a route."""
        return route.key in self.memory.added


def read_state(
    where: ProviderNetwork, seconds: float | None, ended: Callable[[], bool] = lambda: False
) -> NetworkState:
    """Ask the provider for the network. Raises Stop if it cannot be read.

    `seconds`, `ended`: as for `Calls`.
    Raises Stop too if what is remembered is of another network.
    """
    provider = provider_of(where, seconds, ended)
    table = provider.read()
    if len(table.routes) > MOST_ROUTES:
        raise Stop(f"network {where.name}: it has more than {MOST_ROUTES:,} routes: no table has")
    return NetworkState(str(where), table, remembered(where, table.id), provider.atomic)
