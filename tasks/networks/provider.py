"""The face of a provider. Each is a module of its own; docs/networks.md says how to add one."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tasks.inventory.model import ProviderNetwork

from .calls import Calls
from .model import Member, Table, TableRoute


class Provider(Protocol):
    """What this tool asks of a provider's API. Every call raises Stop, with one line, if it fails.

    A change that failed may have been made all the same. The caller reads the table again.
    """

    @property
    def atomic(self) -> bool:
        """Whether `replace` leaves no moment without a route."""

    def read(self) -> Table:
        """The table as it is now, with a number of requests that does not grow with its routes."""

    def add(self, table: Table, route: TableRoute) -> None:
        """Add a route to a destination that has none."""

    def remove(self, table: Table, route: TableRoute) -> None:
        """Delete a route."""

    def replace(self, table: Table, old: TableRoute, new: TableRoute) -> None:
        """Put a route in the place of another one to the same destination."""

    def by_hand(self, table: Table, take: Sequence[TableRoute], put: TableRoute) -> tuple[str, ...]:
        """The commands with which a person adds a route, and first deletes those in its way."""

    def unchecked_by_hand(self, member: Member) -> tuple[str, ...]:
        """The commands with which a person has a member send packets with addresses of pods."""

    def check_sources(self, member: Member, on: bool) -> None:
        """Switch the check of a member's source addresses on or off."""


def provider_of(
    network: ProviderNetwork, seconds: float | None, ended: Callable[[], bool] = lambda: False
) -> Provider:
    """The provider of a network. `seconds`, `ended`: as for `Calls`."""
    from .aws import AWS, Aws
    from .hetzner import HCLOUD, Hetzner

    if network.provider == "aws":
        return Aws(Calls(AWS, network.name, seconds, ended), network.name)
    return Hetzner(Calls(HCLOUD, network.name, seconds, ended), network.name)
