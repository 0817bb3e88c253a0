"""A provider's network as it is now: its table, and what is remembered of it."""

from dataclasses import dataclass

from tasks.inventory.model import ProviderNetwork

from .memory import Memory, remembered
from .model import Key, Table, TableRoute
from .provider import provider_of


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


def read_state(where: ProviderNetwork, seconds: float | None) -> NetworkState:
    """Ask the provider for the network. `seconds`: for one call. Raises Stop if it cannot be read.

    Raises Stop too if what is remembered is of another network.
    """
    provider = provider_of(where, seconds)
    table = provider.read()
    return NetworkState(str(where), table, remembered(where, table.id), provider.atomic)
