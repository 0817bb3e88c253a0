"""Which provider's network that routes all machines are in. Pure.

hosts.toml gets a [network] only if that is certain. Otherwise a line says why it is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.inventory.model import Cluster, ProviderNetwork

from .candidates import listing
from .gather import Gathered
from .model import Attached


@dataclass(frozen=True)
class NetworkFound:
    """The network that all machines share; None if there is none, or it is not known.

    `held`: whether hosts.toml names it already. `note`: for the operator.
    """

    network: ProviderNetwork | None = None
    source: str = ""
    held: bool = False
    note: str = ""

    @property
    def new(self) -> ProviderNetwork | None:
        """The network that hosts.toml is to name; None if it needs no change."""
        return None if self.held else self.network


def network_found(
    gathered: Gathered, cluster: Cluster | None, pods: Sequence[str], prune: bool
) -> NetworkFound:
    """What the sources say of [network]. `pods`: the pod networks of a new hosts.toml.

    With `prune`, machines that no source lists do not count.
    """
    if not gathered.attached:
        return NetworkFound()
    source = ",".join(gathered.attached)
    at = _attachments(gathered, prune)
    held = cluster.network if cluster else None
    why = _why_unknown(source, at, gathered) or _why_impossible(cluster, pods)
    if why:
        kept = f"{held} in [network] is kept" if held else "no [network] is proposed"
        return NetworkFound(note=f"{kept}: {why}")
    one = next(iter(at.values()))
    assert one is not None
    if held and held.provider == one.network.provider and held.name in (one.network.name, one.id):
        return NetworkFound(held, source, held=True)
    if held:
        return NetworkFound(
            note=f"{held} in [network] is kept, but {source} has all machines in {one.network}:"
            " correct one of them"
        )
    links = {found.link for found in at.values() if found}
    if links == {one.link} and one.link:
        return NetworkFound(
            note=f"all machines are in one subnet, {one.link}: routes on the machines are enough,"
            " and no [network] is proposed. The source/destination checks have to be off; this tool"
            f" switches them off if [network] names {one.network}"
        )
    return NetworkFound(one.network, source)


def _attachments(gathered: Gathered, prune: bool) -> Mapping[str, Attached | None]:
    """What each machine's internal IP is attached to; None if it is not known."""
    discovery = gathered.discovery
    own = {
        row.machine: row.values[0].text
        for row in discovery.rows
        if row.field == "internal_ip" and row.family == 4 and row.state != "open"
    }
    known = {key: value for found in gathered.attached.values() for key, value in found.items()}
    return {
        name: known.get((name, own.get(name, "")))
        for name in discovery.roles
        if not (prune and name in discovery.absent)
    }


def _why_unknown(source: str, at: Mapping[str, Attached | None], gathered: Gathered) -> str:
    """Why the network is not known; empty if it is."""
    if any(row.field == "internal_ip" for row in gathered.discovery.open):
        return "it depends on the internal IPs that are to choose"
    lacking = [name for name, attached in at.items() if attached is None]
    if lacking or not at:
        whom = f" the internal IP of {listing(lacking)}" if lacking else " any machine"
        return f"{source} shows no private network with{whom}"
    by_network: dict[ProviderNetwork, list[str]] = {}
    for name, attached in at.items():
        if attached:
            by_network.setdefault(attached.network, []).append(name)
    if len(by_network) == 1:
        return ""
    where = "; ".join(f"{network} of {listing(names)}" for network, names in by_network.items())
    return f"one has to hold all machines, and there are {len(by_network)}: {where}"


def _why_impossible(cluster: Cluster | None, pods: Sequence[str]) -> str:
    """Why hosts.toml can name no network; empty if it can."""
    if cluster and cluster.bgp:
        return 'a provider\'s table cannot learn routes by BGP, and routing is "bgp"'
    if any(":" in text for text in (map(str, cluster.pod_networks) if cluster else pods)):
        return "only IPv4 pod CIDRs can be its routes, and pod_networks has IPv6"
    return ""
