"""What a script around a change is to ask `ip` for, so that it sees what routes there are."""

import socket
from collections.abc import Collection, Sequence
from functools import lru_cache

from tasks.common.values import Address, Network, within
from tasks.facts.gather import all_ours
from tasks.iproute.batch import PASSING

from .steps import Steps

Asked = dict[str, Sequence[str]]  # by the name that readback.sh knows it by


def asked_around(
    steps: Steps, pod_networks: Sequence[Network], lifelines: Collection[Address]
) -> Asked:
    """What readback.sh and carry_out.sh ask for, to compare all that may be touched."""
    families = {network.version for network in (*pod_networks, *steps.prefixes)}
    return {
        **_common(steps),
        **_of_families(steps, pod_networks, families),
        "ours_4": all_ours(pod_networks, 4)[1],
        "ours_6": all_ours(pod_networks, 6)[1],
        "lifelines": [f"route get {address}" for address in lifelines],
        "resolves": [f"route get {first_address(prefix)}" for prefix in steps.puts],
    }


def asked_of_prefixes(steps: Steps, pod_networks: Sequence[Network]) -> Asked:
    """What the undo asks for: what stands at the prefixes of the change."""
    families = {prefix.version for prefix in steps.prefixes}
    return {**_common(steps), **_of_families(steps, pod_networks, families)}


@lru_cache(maxsize=65536)  # each prefix is one on every other machine of the cluster
def first_address(prefix: Network) -> Address:
    """The address that is asked for to see where a prefix leads."""
    return prefix[0] if prefix.num_addresses == 1 else prefix[1]


def _common(steps: Steps) -> Asked:
    return {
        "prefixes": list(map(_as_shown, steps.prefixes)),
        "passing": [f"s/{words}//g" for words in PASSING],
    }


def _of_families(steps: Steps, pod_networks: Sequence[Network], families: Collection[int]) -> Asked:
    """What to ask of each family: all inside pod_networks, and prefixes that are elsewhere."""
    asked: Asked = {}
    for family in (4, 6):
        wanted = family in families
        asked[f"inside_{family}"] = all_ours(pod_networks, family)[0] if wanted else []
        asked[f"outside_{family}"] = _outside(steps, pod_networks, family)
    return asked


def _outside(steps: Steps, pod_networks: Sequence[Network], family: int) -> list[str]:
    """What to ask for the prefixes that are not shown with all that is inside pod_networks."""
    return [
        f"route show table main exact {prefix}"
        for prefix in steps.prefixes
        if prefix.version == family and not within(prefix, pod_networks)
    ]


@lru_cache(maxsize=65536)
def _as_shown(prefix: Network) -> str:
    """A prefix as `ip` shows it: by inet_ntop(3), and a host's without its length."""
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    first = socket.inet_ntop(family, prefix.network_address.packed)
    return first if prefix.num_addresses == 1 else f"{first}/{prefix.prefixlen}"
